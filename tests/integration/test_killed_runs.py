"""Runs into files, folders and buckets, killed at every stage, and what the next makes of them.

The same for PostgreSQL, which has stages of its own, is in targets/postgres/test_kills.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.dataset as ds
import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.engines.quarantine import list_quarantines, verify_quarantine
from airflow_etl_provider.engines.targets import open_target

pytestmark = pytest.mark.slow

STAGES = ("begun", "reading", "staged", "quarantined", "publishing", "published", "swept")
"""Where a run is killed: after the epoch, in the middle of the rows, when all are written, when the
rejects are durable, before the publish, after it, and before the sweep of orphans."""

KINDS = ("duckdb", "csv", "parquet", "folder", "s3")

RECORDS, BAD = 80_000, 7
"""More than one batch."""


@dataclass(frozen=True)
class Job:
    """One pipeline, told as text so that another process can run it.

    :param s3: endpoint and bucket; source, target and quarantine are there then.
    """

    kind: str
    folder: str
    s3: tuple[str, str] | None = None

    def pipeline(self) -> Pipeline:
        place = f"s3://{self.s3[1]}" if self.s3 else self.folder
        lake = {"connection": "lake"} if self.s3 else {}
        target: dict[str, Any] = {
            "duckdb": {"connection": "warehouse", "table": "orders"},
            "csv": {"location": f"{place}/out.csv", "mode": "replace"},
            "parquet": {"location": f"{place}/out.parquet", "mode": "replace"},
        }.get(self.kind, {"location": f"{place}/out/", **lake})
        return Pipeline.model_validate(
            {
                "pipeline": "orders",
                "source": {
                    "location": f"{place}/orders.csv",
                    "format": "csv",
                    "header_rows": 1,
                    **lake,
                },
                "target": target,
                "mapping": {
                    "contract": "orders",
                    "target": {"fields": {"id": "int64"}},
                    "columns": {"id": {"from": "id", "convert": "cast"}},
                },
                "quarantine": self.quarantine,
            }
        )

    @property
    def quarantine(self) -> str:
        return f"s3://{self.s3[1]}/quarantine" if self.s3 else f"{self.folder}/quarantine"

    def connections(self, name: str) -> Connection:
        if name == "warehouse":
            return Connection(name, "duckdb", host=f"{self.folder}/warehouse.db")
        assert self.s3 is not None
        extra = {"endpoint_url": self.s3[0], "region_name": "us-east-1"}
        return Connection(name, "aws", login="AKIATESTKEY", password="secret", extra=extra)

    def run(self, run_id: str) -> Any:
        return run_pipeline(
            self.pipeline(),
            connections=self.connections,
            run_id=run_id,
            base=Path(self.folder),
            options=EngineOptions(threads=1),
            clock=lambda: datetime.now(timezone.utc),
        )


ZYGOTE = textwrap.dedent(
    """
    import importlib.util, json, os, sys
    spec = importlib.util.spec_from_file_location("killed", sys.argv[1])
    killed = importlib.util.module_from_spec(spec)
    sys.modules["killed"] = killed
    spec.loader.exec_module(killed)
    from airflow_etl_provider.engines import attempt, batch, quarantine
    from airflow_etl_provider.engines.backends.duckdb import backend
    for line in sys.stdin:
        told = json.loads(line)
        child = os.fork()
        if not child:
            killed.be_killed(killed.Job(**told["job"]), told["at"])
            os._exit(0)
        print(os.waitpid(child, 0)[1], flush=True)
    """
)
"""Imports once and forks for each run, before there is any thread."""


def be_killed(job: Job, at: str) -> None:
    """Run a load and kill oneself at a stage."""
    from airflow_etl_provider.engines import attempt, batch
    from airflow_etl_provider.engines.quarantine import QuarantineWriter

    def reached(place: str) -> None:
        if place == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: Any, method: str, *, before: str = "", after: str = "") -> None:
        wrapped = getattr(owner, method)

        def call(*arguments: Any, **named: Any) -> Any:
            reached(before)
            result = wrapped(*arguments, **named)
            reached(after)
            return result

        setattr(owner, method, call)

    send = batch._Run._send

    def send_to(self: Any, session: Any, given: Any) -> int:
        around(session, "write", after="staged")
        around(session, "publish", before="publishing", after="published")
        return send(self, session, given)

    batch._Run._send = send_to  # type: ignore[method-assign]
    around(batch._Run, "_write", before="begun")
    around(QuarantineWriter, "seal", after="quarantined")
    around(batch._Run, "_sweep", before="swept")
    count = attempt.Attempt._count
    seen: list[int] = []

    def count_and_die(self: Any, tally: Any, verdict: Any) -> None:
        count(self, tally, verdict)
        seen.append(1)
        if len(seen) == 2:
            reached("reading")

    attempt.Attempt._count = count_and_die  # type: ignore[method-assign]
    job.run("killed")


@pytest.fixture(scope="module")
def zygote():
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
def job(request, tmp_path):
    """A file of many records, some of them bad, and no target yet."""
    lines = [f"{n},x" for n in range(RECORDS)]
    for n in range(BAD):
        lines[n * 5_000] = f"bad{n},x"
    text = "id,name\n" + "\n".join(lines) + "\n"
    if request.param != "s3":
        (tmp_path / "orders.csv").write_text(text)
        return Job(request.param, str(tmp_path))
    server = request.getfixturevalue("s3_server")
    server.put("orders.csv", text.encode())
    return Job("s3", str(tmp_path), (server.endpoint, server.bucket))


def kill(zygote, job: Job, at: str) -> None:
    zygote.stdin.write(json.dumps({"job": asdict(job), "at": at}) + "\n")
    zygote.stdin.flush()
    assert int(zygote.stdout.readline()) == signal.SIGKILL, f"never came to {at}"


def entries(job: Job) -> list[Any]:
    target = open_target(
        job.pipeline().target,
        connections=job.connections,
        base=Path(job.folder),
        pipeline="orders",
    )
    with closing(target):
        return list(target.ledger())


def ids(job: Job, request) -> list[int]:
    """What stands in the target, read by other means; nothing where there is none."""
    folder = Path(job.folder)
    if job.kind == "duckdb":
        with closing(duckdb.connect(f"{folder}/warehouse.db")) as connection:
            there = connection.execute(
                "select 1 from duckdb_tables() where table_name = 'orders'"
            ).fetchall()
            return [n for (n,) in connection.table("orders").fetchall()] if there else []
    if job.kind == "csv":
        file = folder / "out.csv"
        return [int(line) for line in file.read_text().split()[1:]] if file.exists() else []
    place = {"parquet": folder / "out.parquet", "folder": folder / "out"}.get(job.kind)
    if place is None:
        place = folder / "copy"
        place.mkdir(exist_ok=True)
        server = request.getfixturevalue("s3_server")
        for number, key in enumerate(k for k in server.keys("out/") if k.endswith(".parquet")):
            server.client().download_file(server.bucket, key, str(place / f"{number}.parquet"))
    files = [place] if place.is_file() else sorted(place.glob("**/*.parquet"))
    return ds.dataset(files).to_table()["id"].to_pylist() if files else []


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("job", KINDS, indirect=True)
def test_a_run_that_is_killed_anywhere_runs_again_to_one_clean_load(job, zygote, stage, request):
    kill(zygote, job, stage)
    came_through = stage in ("published", "swept")
    if not came_through:
        assert entries(job) == []
        if job.kind not in ("folder", "s3"):
            # Files of a folder that no manifest names are no part of it.
            assert ids(job, request) == []

    report = job.run("again")

    assert report.status == ("already_loaded" if came_through else "done_with_rejects")
    expected = sorted(set(range(RECORDS)) - {n * 5_000 for n in range(BAD)})
    assert sorted(ids(job, request)) == expected
    (entry,) = entries(job)
    assert (entry.rows_read, entry.rows_loaded) == (RECORDS, RECORDS - BAD)
    assert entry.rows_quarantined == BAD
    assert entry.run_id == ("killed" if came_through else "again")
    keeper = job.connections("lake") if job.s3 else None
    (manifest,) = list_quarantines(job.quarantine, connection=keeper)
    assert (manifest.location, manifest.rows) == (entry.quarantine, BAD)
    assert verify_quarantine(manifest.location, connection=keeper) == manifest
