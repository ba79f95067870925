"""What every target promises, tested on each of them in every mode that it declares.

A new kind of target is one more entry of KINDS.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg2 import sql

from airflow_etl_provider.contracts.load import Load
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import parse_type
from airflow_etl_provider.engines.targets import open_target, parse_target
from airflow_etl_provider.engines.targets.base import Publication, Published, WriteSpec
from airflow_etl_provider.exceptions import (
    FencedError,
    LoadConflictError,
    SpecificationError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_etl_provider.engines.targets.base import LoadSession, Target

Rows = list[tuple[str | None, ...]]


@dataclass(frozen=True)
class Kind:
    """One kind of target and what it declares.

    :param fenced: a zombie can't publish, whatever the file system.
    :param reshaped: each load brings its own columns (a file), so there is no table to fit into.
    :param typed: types survive; otherwise all is text.
    """

    name: str
    modes: tuple[str, ...]
    fenced: bool = True
    reshaped: bool = False
    typed: bool = True


KINDS = (
    Kind("duckdb", ("append", "replace", "merge")),
    Kind("postgres", ("append", "replace", "merge")),
    Kind("parquet", ("replace",), fenced=False, reshaped=True),
    Kind("csv", ("replace",), fenced=False, reshaped=True, typed=False),
)


@dataclass
class Place:
    """An empty place for a target of one kind; reads it back without the code under test."""

    kind: Kind
    url: str
    file: Path
    table: str | None = "orders"

    def open(self) -> Target:
        spec, connections = parse_target(self.url, table=self.table)
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
        return sorted(p.name for p in self.file.parent.glob(".*"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def make_place(kind: Kind, request: pytest.FixtureRequest, folder: Path) -> Place:
    if kind.name == "postgres":
        return Place(kind, request.getfixturevalue("postgres_server"), folder / "none")
    if kind.name == "duckdb":
        file = folder / "warehouse.db"
        return Place(kind, f"duckdb:///{file}", file)
    file = folder / f"orders.{kind.name}"
    return Place(kind, str(file), file, table=None)


def _parameters(*, mode: str | None = None, **declared: bool) -> list[Any]:
    """(kind, mode) for all that a test is about."""
    return [
        pytest.param(
            (kind, kind_mode),
            id=f"{kind.name}-{kind_mode}",
            marks=[pytest.mark.postgres] if kind.name == "postgres" else [],
        )
        for kind in KINDS
        for kind_mode in kind.modes
        if mode in (None, kind_mode)
        and all(getattr(kind, name) is value for name, value in declared.items())
    ]


@dataclass
class Case:
    """One mode of one kind of target, with what most tests do."""

    place: Place
    mode: str

    @property
    def spec(self) -> WriteSpec:
        return WriteSpec(mode=self.mode, key=("id",) if self.mode == "merge" else ())

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


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    kind, mode = request.param
    return Case(make_place(kind, request, tmp_path), mode)


every_mode = pytest.mark.parametrize("case", _parameters(), indirect=True)
every_kind = pytest.mark.parametrize("case", _parameters(mode="replace"), indirect=True)


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


# --- loading -----------------------------------------------------------------------------------


@every_mode
@pytest.mark.parametrize("count", [0, 1, 7])
def test_all_rows_arrive_whatever_their_number(case: Case, count: int) -> None:
    rows = [(n, f"name {n}") for n in range(count)]
    assert case.load(a_load(), rows) == Published(rows_loaded=count)
    assert case.place.rows() == [(str(n), f"name {n}") for n in range(count)]


@every_mode
def test_a_second_load_follows_the_mode(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one"), (2, "two")])
    case.load(a_load("b" * 32), [(2, "zwei"), (3, "drei")])
    assert (
        case.place.rows()
        == {
            "append": [("1", "one"), ("2", "two"), ("2", "zwei"), ("3", "drei")],
            "replace": [("2", "zwei"), ("3", "drei")],
            "merge": [("1", "one"), ("2", "zwei"), ("3", "drei")],
        }[case.mode]
    )


@every_mode
def test_many_batches_are_one_load(case: Case) -> None:
    rows = [(n, None if n % 3 else f"n{n}") for n in range(1000)]
    with case.begin(a_load()) as session:
        session.write(reader(session, rows, batch_rows=17))
        assert session.publish(publication(1000)).rows_loaded == 1000
    assert len(case.place.rows() or []) == 1000


@every_mode
def test_nothing_is_seen_before_the_publish(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one")])
    with case.begin(a_load("b" * 32)) as session:
        session.write(reader(session, [(2, "two")]))
        if case.place.kind.name != "postgres":
            assert case.place.rows() == [("1", "one")]
        session.abort()
    assert case.place.rows() == [("1", "one")]


@pytest.mark.parametrize("case", _parameters(reshaped=False), indirect=True)
def test_a_load_fits_into_the_table_that_is_there(case: Case) -> None:
    case.place.execute(
        "create table orders (extra varchar(9) default 'kept', name varchar(40), "
        "id smallint not null primary key, amount decimal(9,2))"
    )
    case.place.execute("insert into orders values ('old', 'one', 1, 1.25)")
    if case.mode == "append":
        case.load(a_load(), [(2, "two")])
    else:
        case.load(a_load(), [(1, "uno"), (2, "two")])
    assert (
        case.place.rows("id", "name", "extra", "amount")
        == {
            "append": [("1", "one", "old", "1.25"), ("2", "two", "kept", None)],
            "replace": [("1", "uno", "kept", None), ("2", "two", "kept", None)],
            "merge": [("1", "uno", "old", "1.25"), ("2", "two", "kept", None)],
        }[case.mode]
    )


@pytest.mark.parametrize("case", _parameters(reshaped=False), indirect=True)
def test_the_schema_of_a_table_is_told_as_it_is(case: Case) -> None:
    assert case.place.open().schema() is None
    case.place.execute(
        'create table orders (id bigint not null primary key, "Mixed Case" varchar, '
        "amount decimal(12,3), day date)"
    )
    schema = case.place.open().schema()
    assert schema is not None
    assert [(f.name, str(f.type), f.nullable) for f in schema] == [
        ("id", "int64", False),
        ("Mixed Case", "string", True),
        ("amount", "decimal(12,3)", True),
        ("day", "date", True),
    ]


@pytest.mark.parametrize("case", _parameters(reshaped=False), indirect=True)
def test_a_column_that_the_table_lacks_is_named(case: Case) -> None:
    case.place.execute("create table orders (id bigint)")
    with pytest.raises(TargetSchemaError, match="'name'"):
        case.begin(a_load())


@pytest.mark.parametrize("case", _parameters(reshaped=True), indirect=True)
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_a_file_refuses_what_only_a_table_can_do(case: Case, mode: Any) -> None:
    with pytest.raises(SpecificationError, match="replaced as a whole"):
        case.begin(a_load(), mode=mode, key=("id",))


# --- types and names ---------------------------------------------------------------------------

EXTREMES: dict[str, list[Any]] = {
    "bool": [True, False],
    "int16": [-32768, 32767],
    "int32": [-(2**31), 2**31 - 1],
    "int64": [-(2**63), 2**63 - 1],
    "float32": [-1.5, 3.4028234663852886e38],
    "float64": [5e-324, -1.7976931348623157e308],
    "decimal(38,10)": [Decimal("-9999999999999999999999999999.9999999999"), Decimal("1E-10")],
    "decimal(5,2)": [Decimal("999.99"), Decimal("0.00")],
    "string": ["", 'a "b", c\r\nd\te; \\N NULL '],
    "string(3)": ["ö€🙂", "x"],
    "binary": [b"", b"\x00\xff\x80"],
    "date": [date(1, 1, 1), date(9999, 12, 31)],
    "time": [time(0, 0), time(23, 59, 59, 999999)],
    "timestamp": [datetime.min, datetime.max],  # noqa: DTZ901
    "timestamptz": [
        datetime(1970, 1, 1, tzinfo=timezone.utc),
        datetime(2026, 3, 29, 1, 30, 0, 1, tzinfo=timezone.utc),
    ],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"a": [1, null, "x"]}', "[]"],
    "array<int64>": [[], [1, None, -(2**63)]],
}


@pytest.mark.parametrize("case", _parameters(mode="replace", typed=True), indirect=True)
@pytest.mark.parametrize("written", EXTREMES)
def test_every_type_comes_back_with_its_extremes_and_null(case: Case, written: str) -> None:
    schema = Schema((Field("id", parse_type("int64")), Field("name", parse_type(written))))
    values = [*EXTREMES[written], None]
    case.load(a_load(), list(enumerate(values)), schema=schema)
    found = getattr(case.place, f"_{case.place.kind.name}")(("id", "name"), "orders")
    came_back = [value for _, value in sorted(found, key=lambda row: row[0])]
    if written == "float32":
        # A driver may give the shortest text of a small float as a large one.
        came_back = pa.array(came_back, pa.float32()).to_pylist()
    assert [_plain(v) for v in came_back] == [_plain(v) for v in values]


def _plain(value: Any) -> Any:
    """Values apart from the driver's choice of class for them."""
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, str) and value[:1] in ("{", "[") and value[-1:] in ("}", "]"):
        return json.loads(value)
    if isinstance(value, float | Decimal | bool | int | str | bytes | list | dict | type(None)):
        return value
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc) if value.tzinfo else value
    return str(value)


NAMES = [
    "select",
    "Mixed Case",
    "semi;colon -- comment",
    'quote " inside',
    "'); drop table orders; --",
    "back\\slash",
    "größe €",
    "日本語🙂",
    "{braces} %s :x ? $1",
    "new\nline",
    "comma, here",
    "a" * 63,
]


@every_mode
def test_any_text_may_be_a_column(case: Case) -> None:
    schema = Schema((*SCHEMA.fields, *(Field(name, parse_type("string")) for name in NAMES)))
    row = (1, "one", *(f"value {n}; '\"" for n in range(len(NAMES))))
    case.load(a_load(), [row], schema=schema)
    assert case.place.rows("id", "name", *NAMES) == [tuple(str(v) for v in row)]


@pytest.mark.parametrize("case", _parameters(reshaped=False), indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_any_text_may_be_a_table(case: Case, name: str) -> None:
    case.place.execute("create table orders (id bigint, name varchar)")
    case.place.execute("insert into orders values (7, 'stays')")
    case.place.table = name
    case.load(a_load(), [(1, "one")])
    assert case.place.rows(table=name) == [("1", "one")]
    assert case.place.rows() == [("7", "stays")]
    assert case.load(a_load(), [(1, "one")]) is None


@every_kind
def test_text_of_all_kinds_survives(case: Case) -> None:
    texts = ["=1+1", "'; drop table orders; --", "\u0000".strip("\0") + "x", " padded ", "a\u2028b",
             "e\u0301", "\ufeffbom", "{}", "#", "\\", "NULL", "\r", "🙂" * 100]  # fmt: skip
    case.load(a_load(), list(enumerate(texts)))
    found = dict(case.place.rows() or [])
    assert [found[str(n)] for n in range(len(texts))] == texts


# --- the same load again -----------------------------------------------------------------------


@every_mode
def test_the_same_load_again_is_nothing_to_do(case: Case) -> None:
    case.load(a_load(), [(1, "one"), (2, "two")])
    with case.begin(a_load(run_id="another run")) as session:
        entry = session.already_loaded
        assert entry is not None
        assert (entry.rows_loaded, entry.run_id) == (2, a_load().run_id)
        assert session.epoch == entry.epoch
    assert case.place.rows() == [("1", "one"), ("2", "two")]


@every_mode
@pytest.mark.parametrize("changed", [{"input_hash": "input 2"}, {"contract_hash": "contract 2"}])
def test_the_same_window_with_other_input_is_loaded_anew_or_refused(
    case: Case, changed: dict[str, str]
) -> None:
    case.load(a_load(), [(1, "one"), (2, "two")])
    if case.mode == "append":
        with pytest.raises(LoadConflictError, match="on_reload: replace_load"):
            case.begin(a_load(**changed))
        assert case.place.rows() == [("1", "one"), ("2", "two")]
        return
    case.load(a_load(**changed), [(1, "uno")])
    expected = [("1", "uno")] if case.mode == "replace" else [("1", "uno"), ("2", "two")]
    assert case.place.rows() == expected
    entries = case.place.open().ledger()
    assert [entry.rows_loaded for entry in entries] == [1]


@pytest.mark.parametrize("case", _parameters(mode="append"), indirect=True)
def test_a_reload_may_take_the_place_of_the_earlier_load(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one"), (2, "two")], load_columns=True)
    case.load(a_load("b" * 32), [(3, "three")], load_columns=True)
    again = a_load("a" * 32, input_hash="input 2", on_reload="replace_load")
    assert case.load(again, [(1, "uno")], load_columns=True) == Published(rows_loaded=1)
    assert case.place.rows() == [("1", "uno"), ("3", "three")]


@pytest.mark.parametrize("case", _parameters(mode="append"), indirect=True)
def test_replacing_a_load_needs_the_load_columns(case: Case) -> None:
    with pytest.raises(SpecificationError, match="load_columns: true"):
        case.begin(a_load(on_reload="replace_load"))


@pytest.mark.parametrize("case", _parameters(mode="append"), indirect=True)
def test_rows_without_their_load_id_are_not_doubled(case: Case) -> None:
    case.place.execute(
        "create table orders (id bigint, name varchar, _etl_load_id varchar, "
        "_etl_loaded_at timestamp with time zone)"
    )
    case.load(a_load(), [(1, "one")])
    again = a_load(input_hash="input 2", on_reload="replace_load")
    with case.begin(again, load_columns=True) as session, pytest.raises(LoadConflictError):
        _write_and_publish(session, [(1, "uno")])
    assert case.place.rows() == [("1", "one")]


@every_kind
def test_a_load_that_another_one_replaced_is_loaded_again_by_a_new_run(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "a")])
    case.load(a_load("b" * 32), [(2, "b")])
    case.load(a_load("a" * 32, run_id="a new run"), [(1, "a")])
    assert case.place.rows() == [("1", "a")]


@every_kind
def test_a_late_retry_does_not_put_old_rows_over_newer_ones(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "a")])
    case.load(a_load("b" * 32), [(2, "b")])
    assert case.load(a_load("a" * 32), [(1, "a")]) is None
    assert case.place.rows() == [("2", "b")]


@every_mode
def test_the_load_columns_say_which_load_a_row_came_with(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one")], load_columns=True)
    rows = case.place.rows("id", "_etl_load_id", "_etl_loaded_at")
    assert rows is not None
    assert rows[0][:2] == ("1", "a" * 32)
    assert rows[0][2] is not None
    assert datetime.fromisoformat(rows[0][2].replace("Z", "+00:00")).tzinfo is not None


@every_mode
def test_the_load_columns_can_not_be_columns_of_the_load_too(case: Case) -> None:
    schema = Schema((*SCHEMA.fields, Field("_etl_load_id", parse_type("string"))))
    with pytest.raises(SpecificationError, match="_etl_load_id"):
        case.begin(a_load(), schema=schema, load_columns=True)


# --- merge -------------------------------------------------------------------------------------

VERSIONED = Schema((*SCHEMA.fields, Field("version", parse_type("int64"))))


@pytest.mark.parametrize("case", _parameters(mode="merge"), indirect=True)
def test_merge_never_puts_older_over_newer(case: Case) -> None:
    def load(load_id: str, rows: list[tuple[Any, ...]]) -> Published | None:
        return case.load(a_load(load_id), rows, schema=VERSIONED, latest_by="version")

    load("a" * 32, [(1, "old", 5), (2, "old", 5), (3, "old", 5), (4, "old", None), (5, "old", 5)])
    published = load(
        "b" * 32,
        [(1, "new", 4), (2, "new", 5), (3, "new", 6), (4, "new", 1), (5, "new", None), (6, "n", 1)],
    )
    assert published == Published(rows_loaded=4, rows_deduplicated=2)
    assert case.place.rows() == [
        ("1", "old"),
        ("2", "new"),
        ("3", "new"),
        ("4", "new"),
        ("5", "old"),
        ("6", "n"),
    ]


@pytest.mark.parametrize("case", _parameters(mode="merge"), indirect=True)
def test_a_table_of_nothing_but_its_key_can_be_merged(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one"), (2, "two")], key=("id", "name"))
    published = case.load(a_load("b" * 32), [(2, "two"), (3, "three")], key=("id", "name"))
    assert published == Published(rows_loaded=2)
    assert case.place.rows() == [("1", "one"), ("2", "two"), ("3", "three")]


@pytest.mark.parametrize("case", _parameters(mode="merge"), indirect=True)
def test_merge_needs_a_key_that_the_load_has(case: Case) -> None:
    with pytest.raises(SpecificationError, match="key"):
        case.begin(a_load(), key=())
    with pytest.raises(SpecificationError, match="nope"):
        case.begin(a_load(), key=("nope",))


# --- the ledger --------------------------------------------------------------------------------


@every_mode
def test_the_ledger_lists_all_loads_oldest_first(case: Case) -> None:
    assert case.place.open().ledger() == []
    case.load(a_load("b" * 32), [(1, "one")])
    case.load(a_load("a" * 32), [(2, "two"), (3, "three")])
    entries = case.place.open().ledger()
    assert [entry.load_id[0] for entry in entries] == ["b", "a"]
    last = entries[-1]
    assert (last.pipeline, last.window, last.mode) == ("orders", "2026-11-01", case.mode)
    assert (last.input_hash, last.contract_hash) == ("input 1", "contract 1")
    assert (last.rows_read, last.rows_loaded) == (5, 2)
    assert (last.rows_quarantined, last.rows_filtered, last.rows_deduplicated) == (2, 1, 0)
    assert (last.quarantine, last.quarantine_checksum) == ("/q/1", "c0ffee")
    assert last.positions == {"inputs": [{"name": "a.csv"}]}
    assert "orders" in last.target
    assert datetime.fromisoformat(last.published_at).tzinfo is not None


@every_kind
def test_no_name_of_a_target_shows_a_password(case: Case) -> None:
    assert "correct" not in case.place.open().name


# --- what goes wrong ---------------------------------------------------------------------------


class _BrokenSourceError(Exception):
    pass


@every_mode
def test_a_source_that_breaks_off_leaves_the_old_content(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one")])

    def break_off() -> None:
        raise _BrokenSourceError

    with case.begin(a_load("b" * 32)) as session, pytest.raises(Exception):  # noqa: B017, PT011
        session.write(reader(session, [(n, "two") for n in range(100)], then=break_off))
    assert case.place.rows() == [("1", "one")]
    assert [entry.load_id[0] for entry in case.place.open().ledger()] == ["a"]
    assert case.place.leftovers() == []


@every_mode
def test_abort_works_in_every_state_and_twice(case: Case) -> None:
    case.load(a_load("a" * 32), [(1, "one")])
    begun = case.begin(a_load("b" * 32))
    begun.abort()
    begun.abort()
    written = case.begin(a_load("b" * 32))
    written.write(reader(written, [(2, "two")]))
    written.abort()
    written.abort()
    assert case.place.rows() == [("1", "one")]
    assert case.place.leftovers() == []
    published = case.begin(a_load("c" * 32))
    published.write(reader(published, [(1, "uno")]))
    published.publish(publication(1))
    after = case.place.rows()
    published.abort()
    published.abort()
    assert case.place.rows() == after


@every_mode
def test_an_aborted_load_can_be_loaded_afterwards(case: Case) -> None:
    with case.begin(a_load()) as session:
        session.write(reader(session, [(1, "one")]))
        first = session.epoch
    with case.begin(a_load()) as session:
        session.write(reader(session, [(1, "one")]))
        session.publish(publication(1))
        assert session.epoch >= first
    assert case.place.rows() == [("1", "one")]


def _write_and_publish(session: LoadSession, rows: list[tuple[Any, ...]]) -> None:
    session.publish(publication(session.write(reader(session, rows))))


@pytest.mark.parametrize("case", _parameters(fenced=True), indirect=True)
def test_an_attempt_that_was_overtaken_publishes_nothing(case: Case) -> None:
    case.load(a_load("0" * 32), [(9, "before")])
    zombie = case.begin(a_load())
    successor = case.begin(a_load())
    assert successor.epoch > zombie.epoch
    successor.write(reader(successor, [(1, "successor")]))
    successor.publish(publication(1))
    with pytest.raises(FencedError):
        _write_and_publish(zombie, [(1, "zombie")])
    zombie.abort()
    expected = [("1", "successor"), ("9", "before")]
    assert case.place.rows() == (expected[:1] if case.mode == "replace" else expected)


@pytest.mark.parametrize("case", _parameters(fenced=True), indirect=True)
def test_an_attempt_is_overtaken_even_before_its_successor_publishes(case: Case) -> None:
    zombie = case.begin(a_load())
    successor = case.begin(a_load())
    with pytest.raises(FencedError):
        _write_and_publish(zombie, [(1, "zombie")])
    zombie.abort()
    successor.write(reader(successor, [(1, "successor")]))
    successor.publish(publication(1))
    assert case.place.rows() == [("1", "successor")]


@every_mode
def test_a_target_may_be_closed_twice(case: Case) -> None:
    target = case.place.open()
    target.schema()
    target.close()
    target.close()


# --- killed ------------------------------------------------------------------------------------

CHILD = textwrap.dedent(
    """
    import importlib.util, json, os, signal, sys
    from pathlib import Path
    told = json.loads(sys.argv[1])
    spec = importlib.util.spec_from_file_location("suite", told["suite"])
    suite = importlib.util.module_from_spec(spec)
    sys.modules["suite"] = suite
    spec.loader.exec_module(suite)

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    kind = next(kind for kind in suite.KINDS if kind.name == told["kind"])
    place = suite.Place(kind, told["url"], Path(told["file"]), told["table"])
    case = suite.Case(place, told["mode"])
    session = case.begin(suite.a_load("b" * 32))
    if told["when"] == "begun":
        die()
    rows = [(n, "x" * 100) for n in range(2000)]
    session.write(
        suite.reader(session, rows, batch_rows=500, then=die if told["when"] == "writing" else None)
    )
    if told["when"] == "written":
        die()
    session.publish(suite.publication(len(rows)))
    die()
    """
)


def kill_while(case: Case, when: str) -> None:
    """Run a load in a process of its own that kills itself."""
    told = {
        "suite": __file__,
        "kind": case.place.kind.name,
        "url": case.place.url,
        "file": str(case.place.file),
        "table": case.place.table,
        "mode": case.mode,
        "when": when,
    }
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(told)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


@every_mode
@pytest.mark.parametrize("when", ["begun", "writing", "written", "published"])
def test_a_killed_load_runs_again_to_exactly_one_clean_load(case: Case, when: str) -> None:
    case.load(a_load("a" * 32), [(5000, "before")])
    kill_while(case, when)
    survived = when == "published"
    assert case.place.open().ledger()[-1].load_id[0] == ("b" if survived else "a")
    if not survived:
        assert case.place.rows() == [("5000", "before")]
    again = case.load(a_load("b" * 32), [(n, "x" * 100) for n in range(2000)])
    assert (again is None) is survived
    rows = case.place.rows() or []
    assert len(rows) == (2000 if case.mode == "replace" else 2001)
    assert len(set(rows)) == len(rows)
    assert [entry.load_id[0] for entry in case.place.open().ledger()] == ["a", "b"]
    assert case.place.leftovers() == []
