"""Engines for the metadata database, and its errors in our words."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    NoSuchModuleError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import QueuePool

from airflow_etl_provider.exceptions import (
    MetadataError,
    MetadataSchemaError,
    MetadataUnavailableError,
    SpecificationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine

__all__ = ["DIALECTS", "engine_for", "exclusive", "place_of", "reading", "writing"]

DIALECTS = ("postgresql", "sqlite")

_WRITES = "etl_writes"

_BUSY_SECONDS = 30
"""How long a writer of SQLite waits for another."""


def engine_for(url: str | URL, *, connect_timeout: int = 10) -> Engine:
    """Make an engine fit for short tasks: a connection is opened when it is first needed.

    :param url: SQLAlchemy's, of PostgreSQL or SQLite; `postgres://` is understood.
    :param connect_timeout: in seconds.
    :raises SpecificationError: it is no such URL.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg2")
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError) as error:
        raise SpecificationError(
            "The URL of the metadata database can't be read.",
            hint="Write postgresql://user:password@host:5432/database or sqlite:////path/file.db.",
        ) from error
    if backend not in DIALECTS:
        raise SpecificationError(
            f"The metadata database can't be of {backend}.",
            hint="PostgreSQL and SQLite carry the tables.",
        )
    try:
        if backend == "sqlite":
            engine = create_engine(parsed, connect_args={"timeout": _BUSY_SECONDS})
            event.listen(engine, "connect", _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            return engine
        engine = create_engine(
            parsed,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=4,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": connect_timeout,
                "application_name": "airflow_etl_provider",
            },
        )
        event.listen(engine, "begin", _limit_postgresql)
        return engine
    except NoSuchModuleError as error:
        raise SpecificationError(
            f"There is no driver {parsed.drivername} here.", hint="Leave `+driver` out of the URL."
        ) from error


def place_of(engine: Engine) -> str:
    """Say where a database is: no login, and none of the parameters, which may hold secrets."""
    url = engine.url
    if url.get_backend_name() == "sqlite":
        return f"sqlite:///{url.database or ''}"
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or 'localhost'}{port}/{url.database or ''}"


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # The driver would begin transactions at the first write, too late to wait for another writer.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _limit_postgresql(connection: Connection) -> None:
    # For this transaction alone: what is set for a session, or by options of the connection, does
    # not go through PgBouncer and the proxy of Amazon RDS.
    connection.exec_driver_sql(
        "SELECT set_config('statement_timeout', '60s', true), "
        "set_config('lock_timeout', '15s', true)"
    )


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back by an exception.

    :raises MetadataUnavailableError: the database can't be reached.
    :raises MetadataSchemaError: the tables are not there.
    """
    with (
        _told(engine),
        engine.connect().execution_options(**{_WRITES: True}) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """The same, for statements that change nothing."""
    with _told(engine), engine.connect() as connection:
        yield connection


def exclusive(connection: Connection, topic: str) -> None:
    """Wait until no other transaction has the same topic; until the end of this one.

    SQLite has one writer, which holds all topics.
    """
    if connection.dialect.name == "postgresql":
        from sqlalchemy import text

        # Two numbers, so that a lock of ours meets none that is taken by one number.
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:space, hashtext(:topic))"),
            {"space": _LOCK_SPACE, "topic": topic},
        )


_LOCK_SPACE = 0x45544C  # "ETL"


@contextmanager
def _told(engine: Engine) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _in_our_words(error, engine) from error
    except PoolTimeoutError as error:
        raise MetadataUnavailableError(
            "All connections to the metadata store are in use.", hint="Ask again in a moment."
        ) from error
    except ValueError as error:
        raise MetadataError(f"A record can't be written: {error}.") from error


_UNREACHABLE = ("08", "57P", "53")
_MISSING = ("42P01", "42703", "3F000")


def _in_our_words(error: DBAPIError, engine: Engine) -> MetadataError:
    """The first line of what the driver said, and none of the values that were sent."""
    said = str(error.orig).strip().partition("\n")[0]
    state = getattr(error.orig, "pgcode", None) or getattr(error.orig, "sqlstate", None) or ""
    where = place_of(engine)
    if state in _MISSING or (
        isinstance(error, OperationalError)
        and ("no such table" in said or "no such column" in said or "has no column" in said)
    ):
        return MetadataSchemaError(
            f"The tables of the metadata store at {where} are missing or old ({said}).",
            hint="Run `airflow-etl metadata migrate`, or `airflow db migrate` for Airflow's own "
            "database.",
        )
    if state == "42501":
        return MetadataError(
            f"The metadata store at {where} refuses this user ({said}).",
            hint="Grant it select, insert, update and delete on the tables etl_*, and usage on "
            "their sequences.",
        )
    if isinstance(error, ProgrammingError) and not state:
        return MetadataError(f"The metadata store at {where} did not understand ({said}).")
    if (
        error.connection_invalidated
        or state.startswith(_UNREACHABLE)
        or (isinstance(error, OperationalError))
    ):
        return MetadataUnavailableError(
            f"The metadata store at {where} can't be reached now ({said}).",
            hint="`airflow-etl metadata doctor` says more.",
        )
    return MetadataError(f"The metadata store at {where} refused what was sent ({said}).")
