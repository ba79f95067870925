"""One ADBC connection in transactions, with errors of ours.

It is made of ADBC's own objects: its DB-API imports `pyarrow.dataset` and with it pandas, a second
that every task would wait for.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any, TypeVar

import adbc_driver_manager as adbc
import adbc_driver_postgresql as postgres
import pyarrow as pa

from airflow_etl_provider.engines.arrow_values import one_row
from airflow_etl_provider.engines.targets.postgres.errors import (
    StreamError,
    translate_connect_error,
    translate_error,
)
from airflow_etl_provider.engines.targets.postgres.uri import postgres_uri, server_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.exceptions import TargetError

__all__ = ["PostgresClient", "Timeouts"]

log = logging.getLogger(__name__)

T = TypeVar("T")

Timeouts = dict[str, int]
"""Settings in milliseconds: `lock_timeout`, `statement_timeout`."""


class PostgresClient:
    """A connection in which every statement belongs to a transaction.

    Settings are local to each transaction and nothing is prepared by name, so that a pooler may
    hand every transaction to another server process.
    """

    def __init__(self, connection: Connection, *, where: str, timeouts: Timeouts) -> None:
        self.where = where
        self._timeouts = timeouts
        self._closing = ExitStack()
        with ExitStack() as opened:
            database, self._connection = _connect(connection)
            opened.callback(database.close)
            opened.callback(self._connection.close)
            self._connection.set_autocommit(False)
            self._statement = adbc.AdbcStatement(self._connection)
            opened.callback(self._statement.close)
            # COPY for a result of one row costs more than it saves.
            self._statement.set_options(**{"adbc.postgresql.use_copy": "false"})
            self._closing = opened.pop_all()
        self._closed = False

    def start(self, *, application: str | None = None, snapshot: bool = False) -> None:
        """Begin a transaction with the settings that loading needs, whatever the role's are.

        :param snapshot: only read, and all of it as it is now.
        """
        level = "REPEATABLE READ, READ ONLY" if snapshot else "READ COMMITTED"
        self.execute(f"SET TRANSACTION ISOLATION LEVEL {level}", doing="to start on")
        settings = {"TimeZone": "UTC", "DateStyle": "ISO, YMD", "IntervalStyle": "iso_8601"}
        settings |= {name: str(value) for name, value in self._timeouts.items()}
        if application is not None:
            settings["application_name"] = application
        calls = ", ".join(
            f"set_config(${2 * at + 1}, ${2 * at + 2}, true)" for at in range(len(settings))
        )
        self.query(
            f"SELECT {calls}",
            [part for pair in settings.items() for part in pair],
            doing="to start on",
        )

    def bound_idle(self, seconds: float) -> None:
        """Let the server end the session if this transaction stands still for so long."""
        self.query(
            "SELECT set_config('idle_in_transaction_session_timeout', $1, true)",
            [str(int(seconds * 1000))],
            doing="to start on",
        )

    def query(
        self, sql: str, parameters: Sequence[Any] = (), *, doing: str
    ) -> list[tuple[Any, ...]]:
        """Run one statement that gives rows."""

        def run() -> list[tuple[Any, ...]]:
            self._prepare(sql, parameters)
            stream, _ = self._statement.execute_query()
            table = pa.RecordBatchReader.from_stream(stream).read_all()
            return list(zip(*(column.to_pylist() for column in table.columns), strict=True))

        return self._run(run, doing=doing)

    def execute(self, sql: str, parameters: Sequence[Any] = (), *, doing: str) -> int:
        """Run one statement; returns the rows that the server says it touched."""

        def run() -> int:
            self._prepare(sql, parameters)
            return int(self._statement.execute_update())

        return self._run(run, doing=doing)

    def _prepare(self, sql: str, parameters: Sequence[Any]) -> None:
        self._statement.set_sql_query(sql)
        if parameters:
            self._statement.bind(one_row(parameters))

    def stream(self, sql: str, *, doing: str) -> Iterator[pa.RecordBatch]:
        """Run one query by binary COPY; nothing else may run here until it was read to its end."""

        def begin() -> pa.RecordBatchReader:
            statement.set_sql_query(sql)
            found, _ = statement.execute_query()
            return pa.RecordBatchReader.from_stream(found)

        with closing(adbc.AdbcStatement(self._connection)) as statement:
            reader = self._run(begin, doing=doing)
            try:
                while (batch := self._run(lambda: _next_batch(reader), doing=doing)) is not None:
                    yield batch
            finally:
                reader.close()

    def copy(
        self, table: str, batches: pa.RecordBatchReader, *, schema: str, columns: Collection[str]
    ) -> int:
        """Stream batches into a table by binary COPY; returns the rows that the driver sent."""

        def run() -> int:
            with closing(adbc.AdbcStatement(self._connection)) as statement:
                statement.set_options(
                    **{
                        adbc.INGEST_OPTION_TARGET_TABLE: table,
                        adbc.INGEST_OPTION_MODE: adbc.INGEST_OPTION_MODE_APPEND,
                        adbc.StatementOptions.INGEST_TARGET_DB_SCHEMA.value: schema,
                    }
                )
                statement.bind_stream(batches)
                return int(statement.execute_update())

        return self._run(run, doing="the rows for", columns=columns)

    def commit(self) -> None:
        self._run(self._connection.commit, doing="to commit on")

    def rollback(self) -> None:
        self._run(self._connection.rollback, doing="to roll back on")

    def cancel(self) -> None:
        """Ask the server to stop what this connection runs; from any thread."""
        try:
            self._connection.cancel()
        except adbc.Error as error:
            # Nothing ran, or the server is gone: either way there is nothing left to stop.
            log.debug("cancel had no effect (%s)", type(error).__name__)

    def close(self) -> None:
        """Close the statement, then the connection; what is not committed is rolled back."""
        if self._closed:
            return
        self._closed = True
        try:
            # The server would do it when it notices; locks are to be free when this returns.
            self._connection.rollback()
        except adbc.Error as error:
            log.debug("no rollback on a dead connection (%s)", type(error).__name__)
        self._closing.close()

    def _run(self, action: Callable[[], T], *, doing: str, columns: Collection[str] = ()) -> T:
        failure: TargetError
        try:
            return action()
        except adbc.Error as error:
            failure = translate_error(error, doing=doing, where=self.where, columns=columns)
        except (pa.ArrowException, OSError) as error:
            failure = translate_error(StreamError.of(error), doing=doing, where=self.where)
        # Outside the handler: a chained driver error would print rows in the traceback.
        raise failure


def _next_batch(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None


def _connect(connection: Connection) -> tuple[adbc.AdbcDatabase, adbc.AdbcConnection]:
    uri = postgres_uri(connection)
    failure: TargetError
    database: adbc.AdbcDatabase | None = None
    try:
        database = postgres.connect(uri)
        return database, adbc.AdbcConnection(database)
    except adbc.Error as error:
        failure = translate_connect_error(
            str(error),
            where=server_of(connection),
            secrets=[
                uri,
                *filter(None, [connection.password, connection.extra.get("sslpassword")]),
            ],
        )
    if database is not None:
        database.close()
    raise failure
