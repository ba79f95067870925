"""Every kind of target in every mode that it declares, and what most tests do with one.

A new kind of target is one more entry of KINDS.
"""

from __future__ import annotations

import csv
import shutil
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from psycopg2 import sql

from airflow_etl_provider.contracts.load import Load
from airflow_etl_provider.contracts.pipeline import TargetSpec
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets import open_target, parse_target
from airflow_etl_provider.engines.targets.base import Publication, Published, WriteSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_etl_provider.engines.targets.base import LoadSession, Target
    from tests.conftest import S3Server

Rows = list[tuple[str | None, ...]]


@dataclass(frozen=True)
class Kind:
    """One kind of target and what it declares.

    :param fenced: a zombie can't publish, whatever the file system.
    :param reshaped: each load brings its own columns (a file), so there is no table to fit into.
    :param typed: types survive; otherwise all is text.
    :param database: tables can be made in SQL, and have names.
    :param finds_rows: the rows of a load are told apart without load columns.
    """

    name: str
    modes: tuple[str, ...]
    fenced: bool = True
    reshaped: bool = False
    typed: bool = True
    database: bool = True
    finds_rows: bool = False


FOLDER_MODES = ("append", "replace", "replace_partition")

KINDS = (
    Kind("duckdb", ("append", "replace", "replace_partition", "merge")),
    Kind("postgres", ("append", "replace", "replace_partition", "merge")),
    Kind("parquet", ("replace",), fenced=False, reshaped=True, database=False),
    Kind("csv", ("replace",), fenced=False, reshaped=True, typed=False, database=False),
    Kind("folder", FOLDER_MODES, database=False, finds_rows=True),
    Kind("s3", ("append", "replace"), database=False, finds_rows=True),
)


@dataclass
class Place:
    """An empty place for a target of one kind; reads it back without the code under test."""

    kind: Kind
    url: str
    file: Path
    table: str | None = "orders"
    s3: S3Server | None = None

    def open(self) -> Target:
        spec, connections = parse_target(self.url, table=self.table)
        if self.s3 is not None:
            spec, connections = (
                TargetSpec(connection="lake", location=self.url),
                self.s3.connections,
            )
        return open_target(spec, connections=connections, base=None, pipeline="orders")

    def rows(self, *columns: str, table: str = "orders") -> Rows | None:
        """The rows as sorted text, or None where there is no table."""
        found = getattr(self, f"_{self.kind.name}")(columns or ("id", "name"), table)
        if found is None:
            return None
        text = [tuple(None if v is None else str(v) for v in row) for row in found]
        return sorted(text, key=lambda row: tuple((v is not None, v or "") for v in row))

    def _duckdb(self, columns: tuple[str, ...], table: str) -> list[tuple[Any, ...]] | None:
        with closing(duckdb.connect(str(self.file))) as connection:
            if not connection.execute(
                "select 1 from duckdb_tables() where table_name = ?", [table]
            ).fetchall():
                return None
            return (
                connection.table(_quoted(table))
                .select(*[duckdb.ColumnExpression(c) for c in columns])
                .fetchall()
            )

    def _postgres(self, columns: tuple[str, ...], table: str) -> list[tuple[Any, ...]] | None:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            query = sql.SQL("select {} from {}").format(
                sql.SQL(", ").join(sql.Identifier(c) for c in columns), sql.Identifier(table)
            )
            try:
                cursor.execute(query)
            except psycopg2.errors.UndefinedTable:
                return None
            return cursor.fetchall()

    def _parquet(self, columns: tuple[str, ...], table: str) -> list[tuple[Any, ...]] | None:
        if not self.file.exists():
            return None
        rows = pq.read_table(self.file).to_pylist()
        return [tuple(row[c] for c in columns) for row in rows]

    def _folder(self, columns: tuple[str, ...], table: str) -> list[tuple[Any, ...]] | None:
        """As those see it who know nothing of a manifest."""
        if not list(self.file.glob("**/*.parquet")):
            return [] if self.file.exists() else None
        rows = ds.dataset(self.file, partitioning="hive").to_table().to_pylist()
        return [tuple(row[c] for c in columns) for row in rows]

    def _s3(self, columns: tuple[str, ...], table: str) -> list[tuple[Any, ...]] | None:
        assert self.s3 is not None
        bucket, client = Path(self.file.parent, "bucket"), self.s3.client()
        shutil.rmtree(bucket, ignore_errors=True)
        (bucket / "orders").mkdir(parents=True)
        keys = [key for key in self.s3.keys("orders/") if key.endswith(".parquet")]
        for key in keys:
            file = bucket / key
            file.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(self.s3.bucket, key, str(file))
        return replace(self, file=bucket / "orders")._folder(columns, table)

    def _csv(self, columns: tuple[str, ...], table: str) -> list[tuple[Any, ...]] | None:
        if not self.file.exists():
            return None
        with self.file.open(newline="", encoding="utf-8") as file:
            return [tuple(row[c] or None for c in columns) for row in csv.DictReader(file)]

    def execute(self, statement: str) -> None:
        """Prepare a table, in SQL that both databases read."""
        if self.kind.name == "duckdb":
            with closing(duckdb.connect(str(self.file))) as connection:
                connection.execute(statement)
        else:
            with closing(psycopg2.connect(self.url)) as connection, connection:
                connection.cursor().execute(statement)

    def leftovers(self) -> list[str]:
        """Names of files of ours that no one should find after a load."""
        if self.s3 is not None:
            uploads = self.s3.client().list_multipart_uploads(Bucket=self.s3.bucket)
            ours = ("orders/_etl/tmp/", "orders/_etl/sweep/attempt-")
            return [u["Key"] for u in uploads.get("Uploads", [])] + [
                key for key in self.s3.keys("orders/") if key.startswith(ours)
            ]
        hidden = sorted(p.name for p in self.file.parent.glob(".*"))
        if self.kind.name == "folder":
            ours = ("pending/*", "tmp/*", "sweep/attempt-*")
            hidden += sorted(p.name for name in ours for p in (self.file / "_etl").glob(name))
        return hidden


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def make_place(kind: Kind, request: pytest.FixtureRequest, folder: Path) -> Place:
    if kind.name == "postgres":
        return Place(kind, request.getfixturevalue("postgres_server"), folder / "none")
    if kind.name == "duckdb":
        file = folder / "warehouse.db"
        return Place(kind, f"duckdb:///{file}", file)
    if kind.name == "folder":
        return Place(kind, f"{folder}/orders/", folder / "orders", table=None)
    if kind.name == "s3":
        server = request.getfixturevalue("s3_server")
        return Place(kind, server.url("orders/"), folder / "orders", table=None, s3=server)
    file = folder / f"orders.{kind.name}"
    return Place(kind, str(file), file, table=None)


def parameters(*, mode: str | None = None, **declared: Any) -> list[Any]:
    """(kind, mode) for all that a test is about."""
    return [
        pytest.param(
            (kind, kind_mode),
            id=f"{kind.name}-{kind_mode}",
            marks=[getattr(pytest.mark, kind.name)] if kind.name in ("postgres", "s3") else [],
        )
        for kind in KINDS
        for kind_mode in kind.modes
        if mode in (None, kind_mode)
        and all(getattr(kind, name) == value for name, value in declared.items())
    ]


def server_of(told: dict[str, str]) -> S3Server:
    """The server again, in another process."""
    from tests.conftest import S3Server

    return S3Server(**told)


@dataclass
class Case:
    """One mode of one kind of target, with what most tests do."""

    place: Place
    mode: str

    @property
    def spec(self) -> WriteSpec:
        return WriteSpec(
            mode=self.mode,
            key=("id",) if self.mode == "merge" else (),
            partition_by=("id",) if self.mode == "replace_partition" else (),
        )

    def many(self, count: int) -> list[tuple[Any, ...]]:
        """So many rows, no two of them the same, in twenty partitions where those are folders."""
        folders = self.place.kind.name in ("folder", "s3") and self.mode == "replace_partition"
        return [(n % 20 if folders else n, f"{n:05d}".ljust(100, "x")) for n in range(count)]

    def begin(self, load: Load, *, schema: Schema | None = None, **changed: Any) -> LoadSession:
        return self.place.open().begin(
            load=load, schema=schema or SCHEMA, write=replace(self.spec, **changed)
        )

    def load(
        self,
        load: Load,
        rows: list[tuple[Any, ...]],
        *,
        schema: Schema | None = None,
        **changed: Any,
    ) -> Published | None:
        """Load the whole way; None when the load was there already."""
        with self.begin(load, schema=schema, **changed) as session:
            if session.already_loaded is not None:
                return None
            taken = session.write(reader(session, rows))
            assert taken == len(rows)
            return session.publish(publication(taken))


every_mode = pytest.mark.parametrize("case", parameters(), indirect=True)
every_kind = pytest.mark.parametrize("case", parameters(mode="replace"), indirect=True)


SCHEMA = Schema((Field("id", parse_type("int64")), Field("name", parse_type("string"))))


def a_load(load_id: str = "a" * 32, **changed: Any) -> Load:
    values = {
        "load_id": load_id,
        "pipeline": "orders",
        "window": "2026-11-01",
        "input_hash": "input 1",
        "contract_hash": "contract 1",
        "run_id": f"run of {load_id}",
    }
    return Load(**(values | changed))


def publication(rows: int) -> Publication:
    return Publication(
        rows_read=rows + 3,
        rows_quarantined=2,
        rows_filtered=1,
        rows_deduplicated=0,
        quarantine="/q/1",
        quarantine_checksum="c0ffee",
        positions={"inputs": [{"name": "a.csv"}]},
    )


def reader(
    session: LoadSession,
    rows: list[tuple[Any, ...]],
    *,
    batch_rows: int = 2,
    then: Callable[[], None] | None = None,
) -> pa.RecordBatchReader:
    """Batches of the rows; `then` is called after the last one."""
    schema = session.arrow_schema

    def batches() -> Iterator[pa.RecordBatch]:
        for at in range(0, len(rows), batch_rows):
            columns = zip(*rows[at : at + batch_rows], strict=True)
            yield pa.RecordBatch.from_arrays(
                [pa.array(list(c), f.type) for c, f in zip(columns, schema, strict=True)],
                schema=schema,
            )
        if then is not None:
            then()

    return pa.RecordBatchReader.from_batches(schema, batches())


def write_and_publish(session: LoadSession, rows: list[tuple[Any, ...]]) -> None:
    session.publish(publication(session.write(reader(session, rows))))
