"""A merge compares its keys at the end, and reads all again where one occurs twice."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import duckdb
import pytest

from airflow_etl_provider.engines.backends.duckdb import seen_keys
from airflow_etl_provider.engines.backends.duckdb.backend import DuckDbBackend
from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
from tests.integration.loading import DATABASE, a_job

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from tests.integration.loading import Job

MERGE = DATABASE | {"mode": "merge", "key": ["id"]}


@pytest.fixture(autouse=True)
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the backend was told to do, in order; hashes are written a few at a time."""
    said: list[str] = []
    for name in ("find_duplicates", "expect_no_duplicates"):
        monkeypatch.setattr(DuckDbBackend, name, _noted(said, name, getattr(DuckDbBackend, name)))
    monkeypatch.setattr(seen_keys, "HELD", 3)
    return said


def _noted(said: list[str], name: str, original):
    def call(self, *arguments):
        said.append(name)
        return original(self, *arguments)

    return call


def merged(job: Job, **target) -> Pipeline:
    return job.pipeline(MERGE | target)


def test_keys_that_occur_once_are_read_once(passes: list[str]) -> None:
    lines = b"".join(b"%d,x\n" % n for n in range(5000))
    with a_job(b"id,name\n" + lines, b"id,name\n9000,y\n") as job:
        report = job.run(merged(job))
        assert (report.rows_loaded, report.rows_quarantined) == (5001, 0)
    assert passes == ["expect_no_duplicates"]


def test_a_key_of_two_files_sends_its_second_record_to_the_quarantine(passes: list[str]) -> None:
    with a_job(b"id,name\n1,a\n2,b\n", b"id,name\n3,c\n1,d\n") as job:
        report = job.run(merged(job))
        assert sorted(job.rows()) == [("1", "a"), ("2", "b"), ("3", "c")]
        (reject,) = job.rejects(report)
        assert (reject.input.rpartition("/")[2], reject.record, reject.raw) == (
            "part-1.csv", 2, b"1,d",
        )  # fmt: skip
        assert report.reasons == {"duplicate_key:id": 1}
        assert report.rows_read == 4
    assert passes == ["expect_no_duplicates", "find_duplicates"]


def test_rows_that_fail_for_something_else_repeat_no_key(passes: list[str]) -> None:
    with a_job(b"id,name\n1,a\n1,too long\n,x\n,y\n2,b\n") as job:
        report = job.run(job.pipeline(MERGE, rules=[{"column": "name", "length": [1, 3]}]))
        assert report.reasons == {"rule:length:name": 1, "null_not_allowed:id": 2}
        assert sorted(job.rows()) == [("1", "a"), ("2", "b")]
    assert passes == ["expect_no_duplicates"]


def test_versions_of_a_key_are_looked_for_first(passes: list[str]) -> None:
    with a_job(b"id,name\n1,a\n1,b\n") as job:
        report = job.run(merged(job, latest_by="name"))
        assert report.rows_deduplicated == 1
        assert job.rows() == [("1", "b")]
    assert passes == ["find_duplicates"]


def test_an_append_looks_first_since_it_writes_into_the_table_itself(passes: list[str]) -> None:
    with a_job(b"id,name\n1,a\n1,b\n") as job:
        report = job.run(job.pipeline(rules=[{"column": "id", "unique": True}]))
        assert report.rows_quarantined == 1
    assert passes == ["find_duplicates"]


def test_records_that_delete_compete_for_the_key_of_the_merge_alone(passes: list[str]) -> None:
    with a_job(b"id,name,op\n1,a,I\n2,a,D\n3,b,I\n3,,D\n") as job:
        report = job.run(
            job.pipeline(
                MERGE | {"deletes": {"when": "op = 'D'"}},
                rules=[{"column": "name", "unique": True}],
            )
        )
        assert report.reasons == {"duplicate_key:id": 1}
        assert (report.rows_loaded, report.rows_deleted) == (2, 1)
    assert passes == ["expect_no_duplicates", "find_duplicates"]


def test_remembered_keys_keep_no_other_column_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen_keys, "HELD", 10_000)
    with ComputeSession(memory_limit=2**26) as session:
        keys = seen_keys.SeenKeys(session, 1)
        query = "SELECT repeat('x', 1000) AS o0, hash(range) AS _key0 FROM range(1000)"
        (batch,) = session.connection.sql(query).to_arrow_reader(1000)
        keys.add(batch)
        (held,) = keys._waiting[0]
        assert held.flags.owndata
        assert held.nbytes == 8000


def test_comparing_keys_can_be_stopped() -> None:
    with ComputeSession(memory_limit=2**28) as session:
        keys = seen_keys.SeenKeys(session, 1)
        keys._cursor.execute(
            "INSERT INTO etl_seen_keys_0 SELECT hash(range) FROM range(30_000_000)"
        )
        timer = threading.Timer(0.05, keys.interrupt)
        timer.start()
        with pytest.raises(duckdb.InterruptException):
            keys.any_twice()
        timer.join()
