"""A process that loads and stops where it is told; the test kills or continues it there.

Arguments: URI, table, mode, where to stop, run id. It prints the name of each place it reaches.
"""

from __future__ import annotations

import sys

import pyarrow as pa

from airflow_etl_provider.contracts.load import Load
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.targets.base import Publication, WriteSpec
from airflow_etl_provider.engines.targets.postgres import PostgresTarget, parse_postgres_uri
from airflow_etl_provider.exceptions import EtlError

ROWS = 50_000


def main(uri: str, table: str, mode: str, stop_at: str, run_id: str) -> None:
    def reached(place: str) -> None:
        print(place, flush=True)
        if place == stop_at:
            sys.stdin.readline()

    schema = Schema(
        (Field("id", LogicalType("int64"), nullable=False), Field("v", LogicalType("string")))
    )
    arrow = pa.schema([("id", pa.int64()), ("v", pa.string())])

    def batches():
        for start in range(0, ROWS, 10_000):
            if start == 20_000:
                reached("copying")
            yield pa.record_batch(
                [pa.array(range(start, start + 10_000)), pa.array([run_id] * 10_000)], schema=arrow
            )

    target = PostgresTarget(parse_postgres_uri(uri), table=table)
    load = Load("l" * 32, "orders", "w", "input", "contract", run_id)
    with target.begin(load=load, schema=schema, write=WriteSpec(mode, key=("id",))) as session:
        if session.already_loaded is not None:
            print("already_loaded", flush=True)
            return
        reached("begun")
        session.write(pa.RecordBatchReader.from_batches(arrow, batches()))
        reached("written")
        session.publish(Publication(ROWS, 0, 0, 0))
        reached("published")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except EtlError as error:
        print(error.code, flush=True)
