"""A NULL for a column that holds none is one bad row, not a failed load; on every target alike."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg2
import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.targets.duckdb_file import DuckDbTarget
from airflow_etl_provider.engines.targets.postgres import PostgresTarget, parse_postgres_uri
from airflow_etl_provider.exceptions import TargetSchemaError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.targets.base import Target

TABLE = """
CREATE TABLE orders (
    id bigint NOT NULL, name text NOT NULL, channel text DEFAULT 'web' NOT NULL, note text,
    PRIMARY KEY (id)
)
"""


@dataclass(frozen=True)
class Shop:
    """A table that exists, on one kind of target, and files to load into it."""

    connection: Connection
    folder: Path

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        if self.connection.kind == "duckdb":
            with duckdb.connect(str(self.connection.host)) as connection:
                return connection.execute(query).fetchall()
        uri = (self.folder / "uri").read_text()
        with closing(psycopg2.connect(uri)) as connection, connection, connection.cursor() as rows:
            rows.execute(query)
            return rows.fetchall() if rows.description else []

    def target(self) -> Target:
        if self.connection.kind == "duckdb":
            return DuckDbTarget(Path(str(self.connection.host)), table="orders")
        return PostgresTarget(self.connection, table="orders")

    def load(self, text: str, **target: Any) -> RunReport:
        (self.folder / "orders.csv").write_text(text)
        pipeline = {
            "pipeline": "orders",
            "source": {"location": "orders.csv", "format": "csv"},
            "target": {"connection": "shop", "table": "orders"} | target,
            "quarantine": str(self.folder / "quarantine"),
        }
        return run_pipeline(
            Pipeline.model_validate(pipeline),
            connections=lambda _: self.connection,
            run_id="run-1",
            base=self.folder,
            options=EngineOptions(),
            clock=lambda: datetime.now(timezone.utc),
        )

    @staticmethod
    def reasons(report: RunReport) -> list[tuple[int, list[tuple[str, str | None]]]]:
        assert report.quarantine is not None
        return [
            (reject.record, [(reason.code, reason.column) for reason in reject.reasons])
            for reject in read_quarantine(report.quarantine)
        ]


@pytest.fixture(params=["duckdb", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    if request.param == "duckdb":
        connection = Connection("shop", "duckdb", host=str(tmp_path / "shop.duckdb"))
    else:
        uri = request.getfixturevalue("postgres_server")
        (tmp_path / "uri").write_text(uri)
        connection = parse_postgres_uri(uri, name="shop")
    shop = Shop(connection, tmp_path)
    shop.sql(TABLE)
    return shop


@pytest.mark.parametrize("mode", ["append", "replace", "merge"])
def test_a_null_for_a_column_that_holds_none_quarantines_its_row(shop: Shop, mode: str) -> None:
    text = "id,name,channel,note\n1,Ada,shop,\n2,,shop,x\n3,Cy,,x\n4,,,\n"
    report = shop.load(text, mode=mode, **({"key": "id"} if mode == "merge" else {}))
    assert shop.sql("SELECT * FROM orders") == [(1, "Ada", "shop", None)]
    assert (report.rows_loaded, report.rows_quarantined) == (1, 3)
    assert shop.reasons(report) == [
        (2, [("null_not_allowed", "name")]),
        (3, [("null_not_allowed", "channel")]),
        (4, [("null_not_allowed", "name"), ("null_not_allowed", "channel")]),
    ]
    assert report.reasons == {"null_not_allowed:name": 2, "null_not_allowed:channel": 2}


def test_a_column_with_a_default_that_is_not_mapped_is_filled_by_the_table(shop: Shop) -> None:
    report = shop.load("id,name\n1,Ada\n")
    assert report.status == "done"
    assert shop.sql("SELECT * FROM orders") == [(1, "Ada", "web", None)]


def test_a_column_without_a_default_must_be_mapped(shop: Shop) -> None:
    with pytest.raises(TargetSchemaError, match="name"):
        shop.load("id,channel\n1,shop\n")


def test_the_schema_tells_apart_what_may_be_null_and_what_may_be_left_out(shop: Shop) -> None:
    with closing(shop.target()) as target:
        schema = target.schema()
    assert schema is not None
    assert {field.name: (field.nullable, field.has_default) for field in schema} == {
        "id": (False, False),
        "name": (False, False),
        "channel": (False, True),
        "note": (True, False),
    }
