"""Bringing the tables `etl_*` of a database up to date, whosever it is."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import MetaData, inspect, text

from airflow_etl_provider.exceptions import MetadataSchemaError
from airflow_etl_provider.metadata.sql.engine import place_of, reading, writing
from airflow_etl_provider.metadata.tables import METADATA
from airflow_etl_provider.metadata.tables.types import NAMING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config
    from sqlalchemy import Connection, Engine

__all__ = [
    "AIRFLOW_LOCK",
    "MIGRATIONS",
    "VERSION_TABLE",
    "State",
    "alembic_config",
    "downgrade",
    "metadata_for",
    "migrate",
    "migration_sql",
    "state_of",
]

VERSION_TABLE = "etl_alembic_version"

MIGRATIONS = Path(__file__).with_name("migrations")

AIRFLOW_LOCK = 1
"""The number of the advisory lock that Airflow holds while it migrates (`DBLocks.MIGRATIONS`): in
its own database the two must not run at once."""

Condition = Literal["missing", "behind", "current", "ahead"]


@dataclass(frozen=True, slots=True)
class State:
    """How the tables of a database stand to this package.

    :param condition: `missing`: there are none. `ahead`: a newer package made them.
    :param revision: that the database has; None where there is none.
    :param head: that this package wants.
    """

    condition: Condition
    revision: str | None
    head: str

    def require_current(self, where: str) -> None:
        """Refuse to work with other tables than one's own.

        :raises MetadataSchemaError: they are missing, behind or ahead.
        """
        if self.condition == "ahead":
            raise MetadataSchemaError(
                f"The tables etl_* in {where} are of revision {self.revision}, which this package "
                "does not know: a newer one made them.",
                hint="Install the newer package here too.",
            )
        if self.condition != "current":
            raise MetadataSchemaError(
                f"The tables etl_* in {where} are {self.condition}: revision "
                f"{self.revision or 'none'}, wanted {self.head}.",
                hint="Run `airflow-etl metadata migrate`, or `airflow db migrate` for Airflow's "
                "own database.",
            )


def state_of(engine: Engine, *, schema: str | None = None) -> State:
    """Look how the tables stand; changes nothing.

    :raises MetadataUnavailableError: the database can't be reached.
    """
    with reading(engine) as connection:
        return _state(connection, schema)


def migrate(engine: Engine, *, to: str = "head", schema: str | None = None) -> State:
    """Create the tables, or upgrade them; nothing happens to those that are current.

    Safe when several processes do it at once: one works, the others wait and find it done.

    :param to: a revision of the scripts.
    :raises MetadataSchemaError: the database is ahead of this package.
    """
    from alembic import command

    with _locked(engine) as connection:
        before = _state(connection, schema)
        if before.condition == "ahead":
            before.require_current(place_of(engine))
        if before.condition == "missing" and to == "head":
            # Fresh tables come from the definitions; the scripts give the same, as tests compare.
            metadata = metadata_for(schema)
            metadata.create_all(connection)
            command.stamp(alembic_config(connection=connection, schema=schema), "head")
        elif before.revision != to and before.condition != "current":
            command.upgrade(alembic_config(connection=connection, schema=schema), to)
        return _state(connection, schema)


def downgrade(engine: Engine, *, to: str, schema: str | None = None) -> State:
    """Take the tables back to an earlier revision; `base` drops them, and all that is in them."""
    from alembic import command

    with _locked(engine) as connection:
        before = _state(connection, schema)
        if before.condition == "ahead":
            before.require_current(place_of(engine))
        if before.revision is not None:
            command.downgrade(alembic_config(connection=connection, schema=schema), to)
        return _state(connection, schema)


def migration_sql(engine: Engine, *, to: str = "head", schema: str | None = None) -> str:
    """Give the statements that `migrate` would run, for a person who runs them."""
    from io import StringIO

    from alembic import command

    state = state_of(engine, schema=schema)
    if state.condition in ("current", "ahead"):
        return ""
    written = StringIO()
    config = alembic_config(schema=schema, output=written)
    config.set_main_option(
        "sqlalchemy.url", engine.url.render_as_string(hide_password=True).replace("%", "%%")
    )
    command.upgrade(config, f"{state.revision or 'base'}:{to}", sql=True)
    return written.getvalue()


def metadata_for(schema: str | None) -> MetaData:
    """The tables as they are in a schema; without one they are in whichever comes first."""
    if schema is None:
        return METADATA
    copy = MetaData(schema=schema, naming_convention=NAMING)
    for table in METADATA.sorted_tables:
        table.to_metadata(copy, schema=schema)
    return copy


def alembic_config(
    *, connection: Connection | None = None, schema: str | None = None, output: Any = None
) -> Config:
    """Alembic's configuration for our scripts, without any file of its own."""
    from alembic.config import Config

    config = Config(output_buffer=output) if output is not None else Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["schema"] = schema
    return config


@cache
def _revisions() -> tuple[str, ...]:
    """All revisions, oldest first."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(alembic_config())
    return tuple(reversed([found.revision for found in script.walk_revisions()]))


def _state(connection: Connection, schema: str | None) -> State:
    known = _revisions()
    there = inspect(connection)
    revision = None
    if there.has_table(VERSION_TABLE, schema=schema):
        from alembic.migration import MigrationContext

        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "version_table_schema": schema}
        )
        revision = context.get_current_revision()
    if revision is None:
        # Tables without a revision are left from a creation that was cut off on a database that
        # can't take it back; creating goes on from there.
        return State("missing", None, known[-1])
    if revision not in known:
        return State("ahead", revision, known[-1])
    return State("current" if revision == known[-1] else "behind", revision, known[-1])


@contextmanager
def _locked(engine: Engine) -> Iterator[Connection]:
    """One transaction, alone: all of the migration or nothing of it."""
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT set_config('lock_timeout', '600s', true)"))
            connection.execute(text("SELECT set_config('statement_timeout', '0', true)"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": AIRFLOW_LOCK})
        yield connection
