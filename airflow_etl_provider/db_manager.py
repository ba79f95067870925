"""Airflow's own commands for the tables `etl_*`: `airflow db migrate` makes and upgrades them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.utils.db_manager import BaseDBManager

from airflow_etl_provider.metadata.migrate import (
    MIGRATIONS,
    VERSION_TABLE,
    alembic_config,
    metadata_for,
)
from airflow_etl_provider.metadata.sql.engine import DIALECTS

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["EtlDBManager", "ensure_tables", "schema_of_airflow"]


def schema_of_airflow() -> str | None:
    """The schema that Airflow's tables are in, where one is configured."""
    return (conf.get("database", "sql_alchemy_schema", fallback="") or "").strip() or None


class EtlDBManager(BaseDBManager):
    """What Airflow needs to know of the tables; declared in the provider's `db-managers`."""

    metadata = metadata_for(schema_of_airflow())
    version_table_name = VERSION_TABLE
    migration_dir = str(MIGRATIONS)
    alembic_file = str(Path(MIGRATIONS, "alembic.ini"))
    supports_table_dropping = True
    revision_heads_map = {"0.1.0": "0002"}  # noqa: RUF012 - the base class has it so

    def get_alembic_config(self) -> Config:
        """Give the base's configuration, with the schema."""
        from airflow import settings

        config = alembic_config(schema=schema_of_airflow())
        config.set_main_option(
            "sqlalchemy.url", (settings.SQL_ALCHEMY_CONN or "").replace("%", "%%")
        )
        return config

    def check_migration(self) -> bool:
        return not self._can_carry() or bool(super().check_migration())  # type: ignore[no-untyped-call]

    def initdb(self, use_migration_files: bool = False) -> None:  # noqa: FBT001, FBT002 - as the base has it
        if self._can_carry():
            # Airflow 3.2 has no such argument; there nobody gives it.
            given = {"use_migration_files": True} if use_migration_files else {}
            super().initdb(**given)  # type: ignore[no-untyped-call]

    def upgradedb(
        self,
        to_revision: str | None = None,
        from_revision: str | None = None,
        show_sql_only: bool = False,  # noqa: FBT001, FBT002 - as the base has it
        use_migration_files: bool = False,  # noqa: FBT001, FBT002 - as the base has it
    ) -> None:
        if self._can_carry():
            given = {"use_migration_files": True} if use_migration_files else {}
            super().upgradedb(to_revision, from_revision, show_sql_only, **given)  # type: ignore[no-untyped-call]

    def downgrade(
        self,
        to_revision: str,
        from_revision: str | None = None,
        show_sql_only: bool = False,  # noqa: FBT001, FBT002 - as the base has it
    ) -> None:
        """Go back to a revision; `base` drops the tables."""
        from alembic import command

        self.log.info("Downgrading the tables etl_* to %s", to_revision)
        wanted = f"{from_revision}:{to_revision}" if from_revision else to_revision
        command.downgrade(self.get_alembic_config(), wanted, sql=show_sql_only)

    def drop_tables(self, connection: Any) -> None:
        if self._can_carry():
            super().drop_tables(connection)  # type: ignore[no-untyped-call]

    def _can_carry(self) -> bool:
        """Whether Airflow's database carries our tables; Airflow works on others too."""
        dialect = self.session.get_bind().dialect.name
        if dialect not in DIALECTS:
            self.log.warning(
                "Airflow's database is of %s, which carries no tables etl_*. Give the ETL provider "
                "a PostgreSQL of its own by the connection etl_metadata_default.",
                dialect,
            )
        return dialect in DIALECTS


def ensure_tables() -> None:
    """Create or upgrade the tables in Airflow's database, where nobody ran its migration for us.

    On Amazon MWAA Airflow migrates before it installs providers. Runs under Airflow's own lock, so
    that several API servers may call it at once. Only where Airflow's database can be reached: in
    the API server and in commands, never in a task.
    """
    from airflow.utils.db import DBLocks, create_global_lock
    from airflow.utils.session import create_session

    with create_session() as session:
        if EtlDBManager(session).check_migration():  # type: ignore[no-untyped-call]
            return
    with create_session() as session, create_global_lock(session, lock=DBLocks.MIGRATIONS):
        manager = EtlDBManager(session)  # type: ignore[no-untyped-call]
        if not manager.check_migration():
            manager.initdb()
