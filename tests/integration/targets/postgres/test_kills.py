"""Runs that are killed or stopped at every stage, and what the next run makes of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import list_quarantines, verify_quarantine
from airflow_etl_provider.engines.targets.postgres import parse_postgres_uri
from airflow_etl_provider.exceptions import EtlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_etl_provider.contracts.report import RunReport

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

STAGES = ("begun", "reading", "staged", "quarantined", "applied", "committed", "swept")
"""Where a run is stopped: after the epoch, in the middle of the rows, when all rows are sent, when
the rejects are durable, before the commit, after it, and before the sweep of orphans."""

RECORDS, BAD = 80_000, 7
"""More than one batch."""


@dataclass(frozen=True)
class Job:
    """One pipeline over one file, told as text so that another process can run it."""

    folder: str
    uri: str
    mode: str

    def pipeline(self) -> Pipeline:
        fields = {"id": "int64", "part": "int64", "gone": "string"}
        return Pipeline.model_validate(
            {
                "pipeline": "orders",
                "source": {"location": "orders.csv", "format": "csv"},
                "target": {
                    "connection": "warehouse",
                    "table": "orders",
                    "mode": self.mode,
                    "key": "id",
                    "partition_by": "part",
                }
                | ({"deletes": {"when": "gone = 'y'"}} if self.mode == "merge" else {}),
                "mapping": {
                    "contract": "orders",
                    "target": {"fields": fields},
                    "columns": {name: {"from": name, "convert": "cast"} for name in fields},
                },
                "quarantine": str(Path(self.folder) / "quarantine"),
            }
        )

    def run(self, run_id: str) -> RunReport:
        return run_pipeline(
            self.pipeline(),
            connections=lambda name: parse_postgres_uri(self.uri, name=name),
            run_id=run_id,
            base=Path(self.folder),
            options=EngineOptions(threads=1),
            clock=lambda: datetime.now(timezone.utc),
        )


ZYGOTE = textwrap.dedent(
    """
    import importlib.util, json, os, sys
    spec = importlib.util.spec_from_file_location("kills", sys.argv[1])
    kills = importlib.util.module_from_spec(spec)
    sys.modules["kills"] = kills
    spec.loader.exec_module(kills)
    from airflow_etl_provider.engines import attempt, batch, quarantine
    from airflow_etl_provider.engines.backends.duckdb import backend
    from airflow_etl_provider.engines.targets.postgres import session
    for line in sys.stdin:
        told = json.loads(line)
        child = os.fork()
        if not child:
            kills.be_stopped(kills.Job(*told["job"]), told["run_id"], told["at"], told["signal"])
            os._exit(0)
        print(child, flush=True)
        if told["signal"] != "SIGSTOP":
            print(os.waitpid(child, 0)[1], flush=True)
    """
)
"""Imports once and forks for each run, before there is any thread."""


def be_stopped(job: Job, run_id: str, at: str, name: str) -> None:
    """Run a load and send oneself a signal at a stage."""
    from airflow_etl_provider.engines import attempt, batch
    from airflow_etl_provider.engines.quarantine import QuarantineWriter
    from airflow_etl_provider.engines.targets.postgres import session

    session.PUBLISH_IDLE_SECONDS = 1

    def reached(place: str) -> None:
        if place == at:
            os.kill(os.getpid(), signal.Signals[name])

    def around(owner: Any, method: str, *, before: str = "", after: str = "") -> None:
        wrapped: Callable[..., Any] = getattr(owner, method)

        def call(*arguments: Any, **named: Any) -> Any:
            reached(before)
            result = wrapped(*arguments, **named)
            reached(after)
            return result

        setattr(owner, method, call)

    around(batch._Run, "_write", before="begun")
    around(session.PostgresSession, "write", after="staged")
    around(QuarantineWriter, "seal", after="quarantined")
    around(session.PostgresSession, "_commit", before="applied", after="committed")
    around(batch._Run, "_sweep", before="swept")
    count: Callable[..., None] = attempt.Attempt._count
    seen: list[int] = []

    def count_and_stop(self: Any, tally: Any, verdict: Any) -> None:
        count(self, tally, verdict)
        seen.append(1)
        if len(seen) == 2:
            reached("reading")

    attempt.Attempt._count = count_and_stop  # type: ignore[method-assign]
    try:
        job.run(run_id)
        end = "done"
    except EtlError as error:
        end = error.code
    (Path(job.folder) / f"{run_id}.end").write_text(end)


class Runs:
    """Runs of one job in processes of their own."""

    def __init__(self, zygote: subprocess.Popen[str], job: Job) -> None:
        self.zygote, self.job = zygote, job

    def _start(self, run_id: str, *, at: str, name: str) -> int:
        told = {
            "job": [self.job.folder, self.job.uri, self.job.mode],
            "run_id": run_id,
            "at": at,
            "signal": name,
        }
        assert self.zygote.stdin is not None
        assert self.zygote.stdout is not None
        self.zygote.stdin.write(json.dumps(told) + "\n")
        self.zygote.stdin.flush()
        return int(self.zygote.stdout.readline())

    def kill(self, run_id: str, *, at: str) -> None:
        self._start(run_id, at=at, name="SIGKILL")
        assert self.zygote.stdout is not None
        assert int(self.zygote.stdout.readline()) == signal.SIGKILL, f"never came to {at}"

    def stop(self, run_id: str, *, at: str) -> int:
        """Give the process, which stands still at the stage."""
        process = self._start(run_id, at=at, name="SIGSTOP")
        while _state(process) != "T":
            assert _state(process) not in ("Z", ""), f"never came to {at}"
        return process

    def go_on(self, process: int, run_id: str) -> str:
        """Wake it, and give how it ended."""
        os.kill(process, signal.SIGCONT)
        while _state(process) not in ("Z", ""):
            continue
        return (Path(self.job.folder) / f"{run_id}.end").read_text()


def _state(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2][:1]
    except FileNotFoundError:
        return ""


@pytest.fixture(scope="module")
def zygote() -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", ZYGOTE, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def runs(
    request: pytest.FixtureRequest, zygote: subprocess.Popen[str], warehouse: Any, tmp_path: Path
) -> Runs:
    """A table with one row, and a file of many, some of them bad."""
    lines = [f"{n},{n % 2},n" for n in range(RECORDS)]
    for n in range(BAD):
        lines[n * 10_000] = f"bad{n},0,n"
    (tmp_path / "orders.csv").write_text("id,part,gone\n" + "\n".join(lines) + "\n")
    warehouse.sql("CREATE TABLE orders (id bigint PRIMARY KEY, part bigint, gone text)")
    warehouse.sql("INSERT INTO orders VALUES (-1, 9, 'x')")
    return Runs(zygote, Job(str(tmp_path), warehouse.uri, request.param))


def stages(*names: str) -> Any:
    """Each of them for the modes that differ most, and for the others those where they differ."""
    cases = [(mode, stage) for mode in ("append", "merge") for stage in names]
    cases += [
        (mode, stage)
        for mode in ("replace", "replace_partition")
        for stage in names
        if stage in ("reading", "applied")
    ]
    return pytest.mark.parametrize(("runs", "stage"), cases, indirect=["runs"])


def check_one_clean_load(runs: Runs, warehouse: Any, *, winner: str) -> None:
    """The table, the ledger and the quarantine tell of one load, that of the run `winner`."""
    kept = 0 if runs.job.mode == "replace" else 1
    assert warehouse.sql("SELECT count(*), count(DISTINCT id) FROM orders") == [
        (RECORDS - BAD + kept,) * 2
    ]
    (entry,) = warehouse.target("orders").ledger()
    assert (entry.rows_read, entry.rows_loaded) == (RECORDS, RECORDS - BAD)
    assert (entry.rows_quarantined, entry.run_id) == (BAD, winner)
    (manifest,) = list_quarantines(str(Path(runs.job.folder) / "quarantine"))
    assert (manifest.location, manifest.rows) == (entry.quarantine, BAD)
    assert verify_quarantine(manifest.location) == manifest
    assert warehouse.sql(
        "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_etl\\_staging%'"
    ) == [(0,)]


@stages(*STAGES)
def test_a_run_that_is_killed_leaves_the_old_rows_and_runs_again_cleanly(
    runs: Runs, warehouse: Any, stage: str
) -> None:
    runs.kill("killed", at=stage)
    came_through = stage in ("committed", "swept")
    if not came_through:
        assert warehouse.sql("SELECT id FROM orders") == [(-1,)]
        assert warehouse.target("orders").ledger() == []
    report = runs.job.run("again")
    assert report.status == ("already_loaded" if came_through else "done_with_rejects")
    check_one_clean_load(runs, warehouse, winner="killed" if came_through else "again")


@stages("reading", "staged", "quarantined", "applied")
def test_a_run_that_stands_still_and_wakes_after_its_successor_publishes_nothing(
    runs: Runs, warehouse: Any, stage: str
) -> None:
    process = runs.stop("paused", at=stage)
    assert runs.job.run("successor").status == "done_with_rejects"
    assert runs.go_on(process, "paused") in ("fenced", "target_unavailable")
    # Rejects of a run that lost its connection at the publish are swept by the next run.
    assert runs.job.run("later").status == "already_loaded"
    check_one_clean_load(runs, warehouse, winner="successor")
