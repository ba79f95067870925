"""What killed attempts leave in the quarantine is gone after the load; nothing else ever is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import list_quarantines, verify_quarantine
from airflow_etl_provider.engines.targets.postgres import parse_postgres_uri
from airflow_etl_provider.exceptions import BudgetExceededError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.contracts.report import RunReport

GOOD_AND_BAD = "id,name\n1,Ada\nx,Bob\ny,Cy\n"
"""Two of three records are rejected; more of them would be no other case."""


@dataclass(frozen=True)
class Job:
    """Pipelines that read one folder and share one quarantine, told so that a child can run one."""

    folder: Path
    kind: str
    uri: str | None = None
    changed: dict[str, Any] = field(default_factory=dict)

    @property
    def quarantine(self) -> Path:
        return self.folder / "quarantine"

    def told(self) -> str:
        return json.dumps([str(self.folder), self.kind, self.uri, self.changed])

    @staticmethod
    def heard(text: str) -> Job:
        folder, kind, uri, changed = json.loads(text)
        return Job(Path(folder), kind, uri, changed)

    def but(self, **changed: Any) -> Job:
        return Job(self.folder, self.kind, self.uri, self.changed | changed)

    def connection(self, name: str) -> Connection:
        if self.uri is not None:
            return parse_postgres_uri(self.uri, name=name)
        return Connection(name, "duckdb", host=str(self.folder / "warehouse.db"))

    def pipeline(self) -> Pipeline:
        name = self.changed.get("name", "orders")
        table = self.changed.get("table", name)
        files = {"location": str(self.folder / f"{table}.parquet"), "mode": "replace"}
        target = {"connection": "warehouse", "table": table, "mode": "replace"}
        return Pipeline.model_validate(
            {
                "pipeline": name,
                "source": {"location": "*.csv", "format": "csv"},
                "target": files if self.kind == "parquet" else target,
                "quarantine": str(self.quarantine),
                "mapping": {
                    "contract": name,
                    "target": {"fields": {"id": "int64", "name": "string"}},
                    "columns": {
                        "id": {
                            "from": "id",
                            "convert": "cast",
                            "on_failure": self.changed.get("on_failure", "reject"),
                        },
                        "name": {"from": "name", "convert": self.changed.get("convert", "trim")},
                    },
                },
                "max_rejected": self.changed.get("max_rejected", 100),
            }
        )

    def run(self, run_id: str, *, cancel: Callable[[], bool] | None = None) -> RunReport:
        return run_pipeline(
            self.pipeline(),
            connections=self.connection,
            run_id=run_id,
            base=self.folder,
            options=EngineOptions(threads=1),
            clock=lambda: datetime.now(timezone.utc),
            cancel=cancel,
        )

    def command(self, when: str) -> list[str]:
        return [sys.executable, "-c", CHILD, __file__, self.told(), when]

    def kill(self, when: str) -> Path:
        """Run it in a process that kills itself; returns the folder of rejects that it leaves."""
        before = self.attempts()
        done = subprocess.run(self.command(when), capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
        (left,) = self.attempts() - before
        return left

    def attempts(self) -> set[Path]:
        return {path for path in self.quarantine.glob("*/*/*") if any(path.iterdir())}

    def location(self, report: RunReport) -> Path:
        assert report.quarantine is not None
        return Path(report.quarantine)


CHILD = textwrap.dedent(
    """
    import importlib.util, os, signal, sys
    spec = importlib.util.spec_from_file_location("orphans", sys.argv[1])
    orphans = importlib.util.module_from_spec(spec)
    sys.modules["orphans"] = orphans
    spec.loader.exec_module(orphans)
    orphans.be_killed(orphans.Job.heard(sys.argv[2]), sys.argv[3])
    """
)


def be_killed(job: Job, when: str) -> None:
    """Run a load up to a point and die there, or stand still there until there is some input."""
    from airflow_etl_provider.engines import batch
    from airflow_etl_provider.engines.quarantine import QuarantineWriter
    from airflow_etl_provider.engines.sources.delimited import source

    source.SMALL = 0  # read one by one, so that there is a moment between the files
    run_id = f"killed-{os.getpid()}"

    waited: list[bool] = []

    def stop(*_: Any, **__: Any) -> bool:
        if when == "waiting":
            if waited:
                return False  # asked again before the publish
            waited.append(True)
            print("here", flush=True)
            sys.stdin.readline()
            return False
        os.kill(os.getpid(), signal.SIGKILL)
        return True

    def written() -> bool:
        """Asked between the files: whether the rejects of the first are there, by now."""
        if threading.current_thread() is not threading.main_thread():
            return False  # asked while a query runs
        found = job.quarantine.glob(f"*/*/{run_id}*/rejects.parquet")
        return stop() if any(found) and when in ("writing", "waiting") else False

    if when == "sealed":
        batch._Run._publish = stop  # type: ignore[method-assign,assignment]
    if when == "committed":
        QuarantineWriter.mark = stop  # type: ignore[method-assign,assignment]
    try:
        job.run(run_id, cancel=written)
    except Exception as error:  # noqa: BLE001 - its name is what the test asks for
        print(type(error).__name__, flush=True)


@pytest.fixture(params=["duckdb", "parquet", pytest.param("postgres", marks=pytest.mark.postgres)])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    uri = request.getfixturevalue("postgres_server") if request.param == "postgres" else None
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(GOOD_AND_BAD)
    return Job(tmp_path, request.param, uri)


on_any_target = pytest.mark.parametrize("job", ["duckdb"], indirect=True)
"""Where the kind of target makes no difference."""


@pytest.mark.parametrize("when", ["writing", "sealed"])
def test_what_a_killed_attempt_left_is_gone_after_the_next_run(job: Job, when: str) -> None:
    first, second = job.kill(when), job.kill(when)
    assert job.attempts() == {first, second}
    report = job.run("run-2")
    assert report.status == "done_with_rejects"
    assert job.attempts() == {job.location(report)}
    assert verify_quarantine(job.location(report)).status == "published"


def test_without_rejects_of_its_own_the_next_run_leaves_nothing(job: Job) -> None:
    job.kill("writing")
    report = job.but(on_failure="null").run("run-2")
    assert (report.rows_quarantined, report.quarantine) == (0, None)
    assert list(job.quarantine.iterdir()) == []


@pytest.mark.parametrize("end", ["killed", "overtaken"])
def test_a_living_attempt_keeps_its_rejects_until_it_ends(job: Job, end: str) -> None:
    with subprocess.Popen(
        job.command("waiting"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as older:
        assert older.stdout is not None
        assert older.stdout.readline() == "here\n"
        (living,) = job.attempts()
        report = job.run("run-2")
        published = job.location(report)
        assert job.attempts() == {living, published}
        assert job.run("run-3").status == "already_loaded"
        assert job.attempts() == {living, published}
        if end == "overtaken":
            told, _ = older.communicate("\n")
            assert told == ("TargetUnavailableError\n" if job.uri else "FencedError\n")
        else:
            older.kill()
            older.wait()
            assert job.attempts() == {living, published}
            assert job.run("run-4").status == "already_loaded"
    assert job.attempts() == {published}
    assert verify_quarantine(published).rows == 4


def test_what_the_ledger_names_stays_although_its_run_was_killed(job: Job) -> None:
    left = job.kill("committed")
    report = job.run("run-2")
    assert report.status == "already_loaded"
    assert job.location(report) == left
    assert job.attempts() == {left}
    assert verify_quarantine(left).rows == 4


@on_any_target
def test_what_was_not_published_over_the_budget_stays(job: Job) -> None:
    with pytest.raises(BudgetExceededError) as caught:
        job.but(max_rejected=0).run("run-1")
    assert caught.value.report is not None
    kept = job.location(caught.value.report)
    report = job.run("run-2")
    assert job.attempts() == {kept, job.location(report)}


def test_what_a_newer_publication_of_the_load_replaced_is_gone(job: Job) -> None:
    first = job.run("run-1")
    second = job.but(convert="upper").run("run-2")
    assert second.load_id == first.load_id
    assert second.status == "done_with_rejects"
    assert job.attempts() == {job.location(second)}


@on_any_target
def test_pipelines_that_share_a_folder_sweep_each_its_own(job: Job) -> None:
    refunds = job.but(name="refunds")
    left = {job.kill("writing"), refunds.kill("writing"), refunds.kill("sealed")}
    published = job.location(job.run("run-2"))
    assert job.attempts() == {path for path in left if "refunds" in str(path)} | {published}
    others = refunds.location(refunds.run("run-2"))
    assert job.attempts() == {published, others}


def test_one_load_into_two_tables_sweeps_each_its_own(job: Job) -> None:
    one, two = job.but(table="one"), job.but(table="two")
    published = one.location(one.run("run-1"))
    left = two.kill("sealed")
    anew = one.but(convert="upper").run("run-2")
    assert job.attempts() == {one.location(anew), left}
    assert not published.exists()
    two.run("run-3")
    again = two.but(convert="upper").run("run-4")
    assert again.load_id == anew.load_id
    assert job.attempts() == {one.location(anew), two.location(again)}


@on_any_target
def test_a_folder_that_can_not_be_swept_fails_no_load(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = job.kill("writing")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError

    with monkeypatch.context() as patched:
        module = "airflow_etl_provider.engines.quarantine.folder.shutil"
        patched.setattr(module, SimpleNamespace(rmtree=refuse))
        report = job.run("run-2")
    assert report.status == "done_with_rejects"
    assert job.attempts() == {left, job.location(report)}
    assert [q.status for q in list_quarantines(job.quarantine)] == ["published"]
