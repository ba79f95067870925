"""Alembic's entry: runs the scripts on a connection that was handed in, or on a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import context
from sqlalchemy import text

from airflow_etl_provider.metadata.migrate import VERSION_TABLE, metadata_for
from airflow_etl_provider.metadata.sql.engine import engine_for

if TYPE_CHECKING:
    from sqlalchemy import Connection

config = context.config
schema = config.attributes.get("schema")


def run_on(connection: Connection) -> None:
    """Run the scripts in one transaction."""
    if schema is not None and connection.dialect.name == "postgresql":
        # The scripts name no schema; for this transaction the given one comes first.
        quoted = connection.dialect.identifier_preparer.quote(schema)
        connection.execute(text("SELECT set_config('search_path', :path, true)"), {"path": quoted})
    context.configure(
        connection=connection,
        target_metadata=metadata_for(schema),
        version_table=VERSION_TABLE,
        version_table_schema=schema,
        compare_type=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


def run_offline() -> None:
    """Print the statements."""
    context.configure(
        url=config.get_main_option("sqlalchemy.url"),
        target_metadata=metadata_for(schema),
        version_table=VERSION_TABLE,
        version_table_schema=schema,
        literal_binds=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    run_offline()
elif (given := config.attributes.get("connection")) is not None:
    run_on(given)
else:
    # Airflow's `db-manager` commands give a URL.
    engine = engine_for(config.get_main_option("sqlalchemy.url") or "")
    with engine.begin() as connection:
        run_on(connection)
    engine.dispose()
