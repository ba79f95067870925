"""The names of datasets follow OpenLineage's conventions."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import SourceSpec, TargetSpec
from airflow_etl_provider.engines.datasets import Dataset, name_source, name_target

CONNECTIONS = {
    "warehouse": Connection(
        name="warehouse",
        kind="postgres",
        host="db.example.com",
        login="etl",
        password="hunter2",
        schema="shop",
    ),
    "elsewhere": Connection(name="elsewhere", kind="postgres", host="db2", port=6432, schema="x"),
    "lake": Connection(name="lake", kind="duckdb", host="/data/lake.duckdb"),
    "files": Connection(name="files", kind="fs", extra={"path": "/data/in"}),
    "bucket": Connection(
        name="bucket",
        kind="aws",
        login="AKIA",
        password="hunter2",
        extra={"service_config": {"s3": {"bucket_name": "lake"}}},
    ),
}


@pytest.mark.parametrize(
    ("spec", "namespace", "name"),
    [
        ({"location": "exports/orders_*.csv"}, "file", "/dags/exports/orders_*.csv"),
        ({"location": "../orders.csv"}, "file", "/orders.csv"),
        ({"location": "/data/orders.csv"}, "file", "/data/orders.csv"),
        ({"location": "file:///data/a%20b.csv"}, "file", "/data/a b.csv"),
        ({"location": "a/b.csv", "connection": "files"}, "file", "/data/in/a/b.csv"),
        ({"location": "s3://lake/in/a.csv", "connection": "bucket"}, "s3://lake", "in/a.csv"),
        ({"location": "in/*.csv", "connection": "bucket"}, "s3://lake", "in/*.csv"),
        ({"location": "s3a://lake/in/a.csv"}, "s3://lake", "in/a.csv"),
        ({"location": "gcs://lake/in/*.csv"}, "gs://lake", "in/*.csv"),
        ({"location": "s3://lake/in/a?.csv"}, "s3://lake", "in/a?.csv"),
        ({"location": "https://me:pw@example.com/a.csv?t=1"}, "https://example.com", "a.csv"),
    ],
)
def test_a_source_is_known_by_its_location(spec, namespace, name):
    found = name_source(
        SourceSpec.model_validate(spec),
        connections=CONNECTIONS.__getitem__,
        base=Path("/dags"),
    )

    assert found == Dataset(namespace, name)


@pytest.mark.parametrize(
    ("spec", "namespace", "name"),
    [
        (
            {"connection": "warehouse", "table": "sales.orders"},
            "postgres://db.example.com:5432",
            "shop.sales.orders",
        ),
        (
            {"connection": "warehouse", "table": "orders"},
            "postgres://db.example.com:5432",
            "shop.current.orders",
        ),
        ({"connection": "elsewhere", "table": "a.b"}, "postgres://db2:6432", "x.a.b"),
        (
            {"location": "postgresql://me@db3/y", "table": "a.b"},
            "postgres://db3:5432",
            "y.a.b",
        ),
        ({"connection": "lake", "table": "t"}, "duckdb:///data/lake.duckdb", "lake.main.t"),
        ({"location": "duckdb:///w.db", "table": "s.t"}, "duckdb:///dags/w.db", "w.s.t"),
        ({"location": "out/orders.parquet"}, "file", "/dags/out/orders.parquet"),
        ({"location": "s3://lake/out/orders/"}, "s3://lake", "out/orders"),
    ],
)
def test_a_target_is_known_by_its_table_or_place(spec, namespace, name):
    found = name_target(
        TargetSpec.model_validate({"mode": "replace"} | spec),
        connections=CONNECTIONS.__getitem__,
        base=Path("/dags"),
        pipeline="p",
        schema="current",
    )

    assert found == Dataset(namespace, name)
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("connection", "namespace", "name"),
    [
        ("warehouse", "postgres://db.example.com:5432", "shop.public.orders"),
        ("lake", "duckdb:///data/lake.duckdb", "lake.main.orders"),
        ("small", "sqlite:///data/small.db", "small.main.orders"),
    ],
)
def test_a_source_that_is_a_table_is_known_by_it(connection, namespace, name):
    small = Connection(name="small", kind="sqlite", schema="/data/small.db")
    found = name_source(
        SourceSpec(connection=connection, table="orders"),
        connections=(CONNECTIONS | {"small": small}).__getitem__,
        base=None,
    )

    assert found == Dataset(namespace, name)
