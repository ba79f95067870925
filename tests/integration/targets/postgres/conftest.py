"""A database to load into, and shortcuts for what most tests do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from airflow_etl_provider.contracts.load import Load
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.backends.duckdb.types import from_arrow_schema
from airflow_etl_provider.engines.targets.base import Publication, Published, WriteSpec
from airflow_etl_provider.engines.targets.postgres import PostgresTarget, parse_postgres_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from airflow_etl_provider.engines.targets.base import LoadSession


@dataclass
class Warehouse:
    """One empty database; `sql` looks at it by another driver than the target's."""

    uri: str

    def target(self, table: str, **options: Any) -> PostgresTarget:
        return PostgresTarget(parse_postgres_uri(self.uri), table=table, **options)

    def sql(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.uri)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(query, parameters or None)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def load_id(self, load_id: str = "a" * 32, **changed: Any) -> Load:
        values = {
            "load_id": load_id,
            "pipeline": "orders",
            "window": "2026-11-01",
            "input_hash": "input 1",
            "contract_hash": "contract 1",
            "run_id": "run 1",
        }
        return Load(**(values | changed))

    def run(
        self,
        table: str,
        rows: pa.Table,
        *,
        schema: Schema | None = None,
        load: Load | None = None,
        **write: Any,
    ) -> Published:
        """Load rows into a table, the whole way."""
        target = self.target(table)
        with target.begin(
            load=load or self.load_id(),
            schema=schema or target.schema() or self.schema_of(rows),
            write=WriteSpec(**({"mode": "append"} | write)),
        ) as session:
            assert session.already_loaded is None
            taken = self.write_all(session, rows)
            return session.publish(self.publication(taken))

    @staticmethod
    def write_all(session: LoadSession, rows: pa.Table) -> int:
        rows = rows.select(session.arrow_schema.names).cast(session.arrow_schema)
        return session.write(rows.to_reader(max_chunksize=3))

    @staticmethod
    def publication(rows: int) -> Publication:
        return Publication(
            rows_read=rows,
            rows_quarantined=0,
            rows_filtered=0,
            rows_deduplicated=0,
            quarantine="s3://lake/q/1",
            quarantine_checksum="c0ffee",
            positions={"inputs": [{"name": "a.csv"}]},
        )

    @staticmethod
    def fields(**types: str) -> Schema:
        """`fields(id="int64 not null", name="string(3)")`."""
        return Schema(
            tuple(
                Field(
                    name,
                    parse_type(of.removesuffix(" not null")),
                    nullable=not of.endswith("not null"),
                )
                for name, of in types.items()
            )
        )

    @staticmethod
    def schema_of(rows: pa.Table) -> Schema:
        return from_arrow_schema(rows.schema)


@pytest.fixture
def warehouse(postgres_server: str) -> Iterator[Warehouse]:
    return Warehouse(postgres_server)
