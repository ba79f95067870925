"""What a table promises the engine as a source, in every database that can be read."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg2
import pytest
import sqlglot
from sqlglot import exp

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.source_spec import SourceSpec
from airflow_etl_provider.engines.backends.duckdb.types import describe_schema
from airflow_etl_provider.engines.sources.tables import open_source_table, open_table
from airflow_etl_provider.engines.targets import parse_target
from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri
from airflow_etl_provider.exceptions import SourceError, SourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_etl_provider.engines.sources.tables.table import TableSource
    from tests.mariadb_server import MariaDbServer

HOSTILE = ("id", "näme ünï 北", 'qu"ote; DROP TABLE x', "l" * 60, "select", "a.b['c']")


class Database:
    def __init__(
        self, url: str, server: MariaDbServer | None = None, *, by_query: bool = False
    ) -> None:
        self.url, self.server, self.by_query = url, server, by_query
        self.opened: list[TableSource] = []

    def execute(self, *statements: str) -> None:
        if self.url.startswith("duckdb"):
            with duckdb.connect(self.url.removeprefix("duckdb:///")) as connection:
                for statement in statements:
                    connection.execute(statement)
            return
        if self.url.startswith("sqlite"):
            with closing(sqlite3.connect(self.url.removeprefix("sqlite:///"))) as connection:
                for statement in statements:
                    connection.execute(statement)
                connection.commit()
            return
        if self.server is not None:
            quoted = [sqlglot.transpile(s, read="postgres", write="mysql")[0] for s in statements]
            self.server.execute(self.url, *quoted)
            return
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()

    def open(self, table: str = "things", *, rereads: bool = True) -> TableSource:
        source: TableSource
        if self.by_query:
            source = self._open_query(table)
            source.versioned, source.rereads = False, rereads
            self.opened.append(source)
            return source
        if self.url.startswith("sqlite"):
            at = Connection("source", "sqlite", host=self.url.removeprefix("sqlite:///"))
            named = SourceSpec(connection="source", table=table)
            source = open_source_table(named, connections=lambda _: at, base=None)
            source.versioned = False
        elif self.server is not None:
            at = self.server.connection(self.url)
            named = SourceSpec(connection="shop", table=table)
            source = open_source_table(named, connections=lambda _: at, base=None)
            source.versioned = False
        else:
            spec, connections = parse_target(self.url, table=table)
            source = open_table(spec, connections=connections, base=None)
        source.rereads = rereads
        self.opened.append(source)
        return source

    def _open_query(self, table: str) -> TableSource:
        if self.url.startswith(("sqlite", "duckdb")):
            kind, _, path = self.url.partition(":///")
            at = Connection("source", kind, host=path)
        else:
            at = parse_postgres_uri(self.url, name="source")
        named = SourceSpec(connection=at.name, query=f"SELECT * FROM {table} -- all of them")
        return open_source_table(named, connections=lambda _: at, base=None)


@pytest.fixture(
    params=[
        "duckdb",
        "sqlite",
        "mariadb",
        pytest.param("postgres", marks=pytest.mark.postgres),
        "duckdb query",
        "sqlite query",
        pytest.param("postgres query", marks=pytest.mark.postgres),
    ]
)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    kind, _, by_query = request.param.partition(" ")
    url = f"{kind}:///{tmp_path}/things.db"
    if kind == "postgres":
        url = request.getfixturevalue("postgres_server")
    database = Database(url, by_query=bool(by_query))
    if request.param == "mariadb":
        server = request.getfixturevalue("mariadb_server")
        database = Database(server.database(), server)
    yield database
    for source in database.opened:
        source.close()


@pytest.fixture(params=[True, False], ids=["read often", "read once"])
def things(request: pytest.FixtureRequest, database: Database) -> Callable[[], TableSource]:
    database.execute(
        "CREATE TABLE things (id bigint, name text, amount numeric(6,2))",
        "INSERT INTO things VALUES (1, 'Ada', 1.5), (2, NULL, 2), (3, '北京 é', NULL)",
    )
    return lambda: database.open(rereads=request.param)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def fetch(scan: Any, connection: Any) -> list[Any]:
    return connection.sql(f"SELECT * FROM {scan.relation(connection)}").fetchall()


def test_the_view_has_the_columns_types_rows_and_order(things: Any, connection: Any) -> None:
    source = things()
    (input_,) = source.inputs
    scan = source.scan(input_)
    view = scan.relation(connection)
    assert source.schema.names == ("id", "name", "amount")
    digits = 1 if source.schema["amount"].type.kind == "float64" else 2
    assert describe_schema(connection, f"SELECT * FROM {view}") == source.schema
    assert [(row[0], row[1], str(row[2])) for row in fetch(scan, connection)] == [
        (1, "Ada", f"{1.5:.{digits}f}"),
        (2, None, f"{2:.{digits}f}"),
        (3, "北京 é", "None"),
    ]
    account = scan.account(rows_seen=3)
    assert (account.records, account.scanned, account.balanced) == (3, 3, True)
    assert account.bytes_read > 0
    assert not scan.account(rows_seen=2).balanced
    assert list(scan.rejects()) == []
    assert scan.record_numbers([0, 2]) == [1, 3]
    assert json.loads(scan.raw({"id": 1})) == {"id": 1}
    scan.close()
    scan.close()


def test_every_reading_gives_the_same_whatever_others_do(
    database: Database, connection: Any
) -> None:
    numbers = "(SELECT 1 UNION ALL SELECT i + 1 FROM t WHERE i < 20000)"
    rows = f"WITH RECURSIVE t(i) AS {numbers} SELECT i AS id, 'x' AS name FROM t"
    if database.url.startswith("sqlite"):
        database.execute("PRAGMA journal_mode = wal")
    database.execute(f"CREATE TABLE things AS {rows}")
    source = database.open()
    first = source.scan(source.inputs[0])
    ids = connection.sql(f"SELECT id FROM {first.relation(connection)}").fetchall()
    if not database.url.startswith("duckdb"):
        # Nobody else can write a DuckDB file that is open for reading.
        database.execute("DELETE FROM things WHERE id < 100", "INSERT INTO things VALUES (0, 'y')")
    second = source.scan(source.inputs[0])
    assert [row[:1] for row in fetch(second, connection)] == ids
    assert second.account(rows_seen=20_000).balanced


def test_only_the_columns_that_are_asked_for_are_read(things: Any, connection: Any) -> None:
    source = things()
    source.narrow({"name"})
    scan = source.scan(source.inputs[0])
    assert fetch(scan, connection) == [("Ada",), (None,), ("北京 é",)]


def test_hostile_names_are_only_names(database: Database, connection: Any) -> None:
    columns = ", ".join(
        f"{exp.to_identifier(name, quoted=True).sql('postgres')} text" for name in HOSTILE
    )
    database.execute(
        f'CREATE TABLE "Thi.ngs" ({columns})',
        "INSERT INTO \"Thi.ngs\" VALUES ('1', 'a', 'b', 'c', 'd', 'e')",
    )
    source = database.open('"Thi.ngs"')
    assert source.schema.names == HOSTILE
    assert fetch(source.scan(source.inputs[0]), connection) == [("1", "a", "b", "c", "d", "e")]


def test_a_table_without_rows_has_a_schema(database: Database, connection: Any) -> None:
    database.execute("CREATE TABLE things (id bigint)")
    source = database.open()
    scan = source.scan(source.inputs[0])
    assert fetch(scan, connection) == []
    assert scan.account(rows_seen=0).balanced


def test_what_is_not_there_is_told(database: Database) -> None:
    database.execute("CREATE TABLE things (id bigint)")
    told = SourceError if database.by_query else SourceNotFoundError
    with pytest.raises(told, match=r"others|source\.query is refused|can't be opened"):
        database.open("others")


def test_closing_twice_and_after_the_connection_is_fine(things: Any) -> None:
    source = things()
    scan = source.scan(source.inputs[0])
    with duckdb.connect() as connection:
        fetch(scan, connection)
    scan.close()
    source.close()
    source.close()


def test_equal_rows_have_one_digest_whatever_their_order(database: Database) -> None:
    database.execute(
        "CREATE TABLE things (id bigint, name text)",
        "CREATE TABLE others (id bigint, name text)",
        "INSERT INTO things VALUES (1, 'a'), (2, NULL), (2, NULL)",
        "INSERT INTO others VALUES (2, NULL), (1, 'a'), (2, NULL)",
    )
    digest = database.open().digest()
    assert database.open("others").digest() == digest
    for source in database.opened:
        source.close()
    database.execute("DELETE FROM others WHERE name IS NULL")
    assert database.open("others").digest() != digest
    database.opened[-1].close()
    database.execute("INSERT INTO others VALUES (2, ''), (2, '')")
    assert database.open("others").digest() != digest
