"""Check the flights that were loaded, whenever the DAG `flights` has loaded some.

Nothing is changed. Rows that break a rule are counted, and some are kept with the reasons: the
button "Violations" of the task leads to them.
"""

from __future__ import annotations

from airflow.sdk import DAG, Asset

from airflow_etl_provider.operators.data_quality import DataQualityOperator

with DAG(
    "flights_quality",
    schedule=[Asset("flights")],
    catchup=False,
    doc_md=__doc__,
    tags=["etl", "example"],
):
    DataQualityOperator(
        task_id="flights",
        connection="warehouse",
        table="flights",
        rules=[
            {"columns": ["scheduled_hour", "carrier", "flight"], "unique": True},
            {"column": "carrier", "references": "airlines.carrier", "severity": "fail"},
            {"column": "origin", "in_set": ["EWR", "JFK", "LGA"]},
            # Some small airports in Puerto Rico and the Virgin Islands are not in the list.
            {"column": "destination", "references": "airports.faa", "severity": "warn"},
            # Many aircraft were out of the register by the time the list of planes was made.
            {"column": "tail_number", "references": "planes.tailnum", "severity": "warn"},
            {"column": "departure_delay", "between": [-60, 1440], "severity": "warn"},
            {"rows": "air_time < 1000", "name": "no flight takes a day"},
            {"load": "rows > 0"},
        ],
    )
