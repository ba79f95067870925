"""A check hears Airflow's signals while the database keeps it waiting."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from airflow_etl_provider.engines.targets import parse_target
from airflow_etl_provider.operators.data_quality import DataQualityOperator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.postgres

PATIENCE_SECONDS = 20
"""How long a check that hears nothing is left waiting before it is let go."""


class TimeIsUpError(BaseException):
    """As Airflow's time-out: no `Exception`."""


@pytest.fixture
def time_out() -> Iterator[signal.Signals]:
    """A signal that raises in the main thread, as `execution_timeout` and Airflow's SIGTERM do."""

    def raise_it(*_: object) -> None:
        raise TimeIsUpError

    previous = signal.signal(signal.SIGUSR1, raise_it)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, previous)


def waits_for_a_lock(postgres: str) -> bool:
    # A transaction sees the activity of others as it was at first: a new one each time.
    with closing(psycopg2.connect(postgres)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("rule", [{"unique": True}, {"not_null": True}], ids=["keys", "rows"])
def test_a_check_that_waits_for_a_lock_hears_its_time_out(
    postgres_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    time_out: signal.Signals,
    rule: dict[str, Any],
) -> None:
    spec, connections = parse_target(postgres_server, table="things")
    monkeypatch.setattr(
        "airflow_etl_provider.hooks.connections.find_airflow_connection", connections
    )
    operator = DataQualityOperator(
        task_id="check",
        connection=spec.connection,
        table="things",
        rules=[{"column": "id"} | rule],
        check="things",
        quarantine=str(tmp_path),
    )
    ended = threading.Event()
    heard: list[bool] = []
    with closing(psycopg2.connect(postgres_server)) as holder, holder.cursor() as cursor:
        cursor.execute("CREATE TABLE things AS SELECT 1 AS id")
        holder.commit()
        cursor.execute("LOCK TABLE things IN ACCESS EXCLUSIVE MODE")

        def interrupt() -> None:
            while not waits_for_a_lock(postgres_server) and not ended.wait(0.05):
                continue
            os.kill(os.getpid(), time_out)
            heard.append(ended.wait(PATIENCE_SECONDS))
            holder.rollback()

        interrupter = threading.Thread(target=interrupt)
        interrupter.start()
        try:
            with pytest.raises(TimeIsUpError):
                operator.execute({"ti": SimpleNamespace(id="run", log_url="")})
        finally:
            ended.set()
            interrupter.join()
    assert heard == [True]
