"""One connection to MySQL or MariaDB in read-only transactions, with errors of ours."""

from __future__ import annotations

import logging
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import (
    SourceError,
    SourceNotFoundError,
    SpecificationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["MySqlClient", "mysql_server"]

log = logging.getLogger(__name__)

_SECONDS = 15
_FORBIDDEN = frozenset({1044, 1045, 1142, 1143, 1227, 1370})
_NOT_THERE = frozenset({1049, 1109, 1146})
_TLS = ("ca", "cert", "key")


def mysql_server(connection: Connection) -> str:
    """Name where it leads, without who logs in."""
    port = f":{connection.port}" if connection.port else ""
    return f"mysql://{connection.host or 'localhost'}{port}/{connection.schema or ''}".rstrip("/")


class MySqlClient:
    """Reads in one snapshot: all of it as it was when it was opened.

    The extra of the connection may hold `ssl`: the paths `ca`, `cert` and `key`, as Airflow's MySQL
    provider has them.

    :raises SpecificationError: the driver is not installed.
    :raises SourceError: the server can't be reached, or refuses.
    """

    def __init__(self, connection: Connection) -> None:
        try:
            import pymysql
        except ModuleNotFoundError as error:
            raise SpecificationError(
                f"To read the connection {connection.name!r}, PyMySQL is needed.",
                hint="pip install 'airflow-etl-provider[mysql]'",
            ) from error
        self._errors_of = pymysql.MySQLError
        self.where = mysql_server(connection)
        given = connection.extra.get("ssl") or {}
        tls = {name: given[name] for name in _TLS if isinstance(given, dict) and given.get(name)}
        self._arguments: dict[str, Any] = {
            "host": connection.host or "localhost",
            "port": int(connection.port or 3306),
            "user": connection.login or "",
            "password": connection.password or "",
            "database": connection.schema or None,
            "charset": "utf8mb4",
            "connect_timeout": _SECONDS,
            "autocommit": True,
            "ssl": tls or None,
        }
        with self._errors("to connect to"):
            self._connection = pymysql.connect(**self._arguments)
        self._closed = False
        with self._errors("to start on"), self._connection.cursor() as cursor:
            cursor.execute("SET SESSION time_zone = '+00:00', sql_mode = ''")
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def query(self, sql: str, parameters: Sequence[Any] = (), *, doing: str) -> list[Any]:
        """Run one statement that gives rows."""
        with self._errors(doing), self._connection.cursor() as cursor:
            # Without parameters a percent sign is one.
            cursor.execute(sql, parameters or None)
            return list(cursor.fetchall())

    def stream(self, sql: str, *, rows: int, doing: str) -> Iterator[list[Any]]:
        """Run one query and give its rows so many at a time; the server holds the others."""
        from pymysql.cursors import SSCursor

        with self._errors(doing):
            cursor = self._connection.cursor(SSCursor)
        try:
            with self._errors(doing):
                cursor.execute(sql)
            while True:
                with self._errors(doing):
                    found = cursor.fetchmany(rows)
                if not found:
                    return
                yield list(found)
        finally:
            # What was not read has to be, before the connection is good for anything else.
            with self._errors(doing):
                cursor.close()

    def cancel(self) -> None:
        """Ask the server, over another connection, to stop what this one runs; from any thread."""
        import pymysql

        try:
            with (
                closing(pymysql.connect(**self._arguments)) as other,
                other.cursor() as cursor,
            ):
                cursor.execute("KILL QUERY %s", [self._connection.thread_id()])
        except pymysql.MySQLError as error:
            # Nothing ran, or the server is gone: either way there is nothing left to stop.
            log.debug("cancel had no effect (%s)", type(error).__name__)

    def close(self) -> None:
        """End the snapshot."""
        if not self._closed:
            self._closed = True
            self._connection.close()

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        failure: Exception
        try:
            yield
            return
        except self._errors_of as error:
            # Its text may quote values; its number says all.
            number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
            told = f"error {number}" if number else type(error).__name__
            if number in _NOT_THERE:
                failure = SourceNotFoundError(
                    f"There is no such table or database, {doing} {self.where} ({told})."
                )
            elif number in _FORBIDDEN:
                failure = SourceError(
                    f"It is forbidden {doing} {self.where} ({told}).",
                    hint="The login of the connection needs the right SELECT, and the password.",
                )
            else:
                failure = SourceError(
                    f"It failed {doing} {self.where} ({told}).",
                    hint="Check that the server is there, and read its log.",
                )
        # Outside the handler: a chained driver error would print values in the traceback.
        raise failure
