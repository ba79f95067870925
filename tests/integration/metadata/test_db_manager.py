"""The tables in Airflow's own database: made by its commands, or by whoever comes first."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from airflow_etl_provider.metadata.migrate import downgrade, state_of
from airflow_etl_provider.metadata.sql.engine import engine_for
from airflow_etl_provider.metadata.tables import METADATA

pytestmark = [pytest.mark.airflow, pytest.mark.slow]

MANAGER = "airflow_etl_provider.db_manager.EtlDBManager"
ENSURE = "from airflow_etl_provider.db_manager import ensure_tables; ensure_tables()"


class AirflowDatabase:
    """An Airflow home whose database is somewhere."""

    def __init__(self, home: Path, url: str) -> None:
        self.url = url
        self.engine = engine_for(url)
        kept = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW_")}
        self.environment = kept | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            # Airflow would derive one that needs another driver, which these commands don't use.
            **({} if "sqlite" in url else {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": ""}),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def airflow(self, *words: str) -> str:
        return self._run("airflow", *words)

    def python(self, program: str) -> str:
        return self._run(sys.executable, "-c", program)

    def tables(self) -> set[str]:
        return {n for n in inspect(self.engine).get_table_names() if n.startswith("etl_")}

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout


OURS = {*METADATA.tables, "etl_alembic_version"}


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request, tmp_path):
    url = f"sqlite:///{tmp_path}/airflow.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_server").replace("://", "+psycopg2://")
    made = AirflowDatabase(tmp_path, url)
    yield made
    made.engine.dispose()


def test_airflows_migration_makes_upgrades_and_resets_the_tables(database):
    database.airflow("db", "migrate")
    assert database.tables() == OURS
    assert state_of(database.engine).condition == "current"

    downgrade(database.engine, to="0001")
    database.airflow("db", "migrate")
    assert state_of(database.engine).condition == "current"

    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO etl_lease (name, holder, token, taken_at, expires_at) VALUES "
                "('orders', 'a', 3, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
            )
        )
    database.airflow("db", "reset", "--yes")
    assert database.tables() == OURS
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM etl_lease")).scalar_one() == 0


def test_the_commands_of_database_managers_work(database):
    database.environment["AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS"] = MANAGER
    database.airflow("db", "migrate")

    database.airflow("db-manager", "downgrade", MANAGER, "--to-revision", "0001", "--yes")
    assert state_of(database.engine).revision == "0001"
    database.airflow("db-manager", "migrate", MANAGER)
    assert state_of(database.engine).condition == "current"
    database.airflow("db-manager", "reset", MANAGER, "--yes")
    assert database.tables() == OURS


def test_where_the_provider_came_after_the_migration_the_first_ones_make_the_tables(database):
    # As on Amazon MWAA: Airflow's database is there, and knows nothing of the provider.
    database.airflow("db", "migrate")
    downgrade(database.engine, to="base")
    with database.engine.begin() as connection:
        connection.execute(text("DROP TABLE etl_alembic_version"))
    assert database.tables() == set()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(database.python, [ENSURE] * (3 if "postgresql" in database.url else 1)))

    assert database.tables() == OURS
    assert state_of(database.engine).condition == "current"


def test_what_is_behind_is_upgraded_by_the_first_one(database):
    database.airflow("db", "migrate")
    downgrade(database.engine, to="0001")

    database.python(ENSURE)

    assert state_of(database.engine).condition == "current"


def test_airflows_cleaning_leaves_the_tables_alone(database):
    database.airflow("db", "migrate")
    with database.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO etl_lease (name, holder, token, taken_at, expires_at) VALUES "
                "('orders', 'a', 3, '2020-01-01 00:00:00', '2020-01-01 00:00:00')"
            )
        )

    database.airflow("db", "clean", "--clean-before-timestamp", "2026-01-01", "--yes")

    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM etl_lease")).scalar_one() == 1
