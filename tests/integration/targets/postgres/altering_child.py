"""A process that adds a column with its load and stops just before the commit. Argument: URI."""

from __future__ import annotations

import sys

import pyarrow as pa

from airflow_etl_provider.contracts.load import Load
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.targets.base import Publication, WriteSpec
from airflow_etl_provider.engines.targets.postgres import PostgresTarget, parse_postgres_uri
from airflow_etl_provider.engines.targets.postgres.client import PostgresClient


def stop(_: PostgresClient) -> None:
    print("altered", flush=True)
    sys.stdin.readline()


def main(uri: str) -> None:
    added = Field("extra", LogicalType("string"))
    schema = Schema((Field("id", LogicalType("int64")), added))
    rows = pa.table({"id": pa.array([9], pa.int64()), "extra": pa.array(["x"])})
    target = PostgresTarget(parse_postgres_uri(uri), table="t")
    load = Load("b" * 32, "orders", "w", "input", "contract", "run")
    write = WriteSpec("append", add_columns=(added,))
    with target.begin(load=load, schema=schema, write=write) as session:
        session.write(rows.to_reader())
        PostgresClient.commit = stop  # type: ignore[method-assign]
        session.publish(Publication(1, 0, 0, 0))


if __name__ == "__main__":
    main(sys.argv[1])
