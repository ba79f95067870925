"""New objects of a prefix: known ones cost their line in the listing, and nothing else."""

from __future__ import annotations

from datetime import datetime, timezone

import duckdb
import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import EngineOptions, run_pipeline
from airflow_etl_provider.exceptions import LoadConflictError

pytestmark = pytest.mark.s3

VERBS = ("GET", "HEAD")


@pytest.fixture
def run(s3_server, lake, tmp_path):
    """Runs a pipeline by new files from the prefix `in/` into a DuckDB file."""
    database = tmp_path / "warehouse.duckdb"
    pipeline = Pipeline.model_validate(
        {
            "pipeline": "orders",
            "source": {
                "connection": "lake",
                "location": s3_server.url("in/*"),
                "format": "csv",
                "incremental": {"by": "new_files"},
            },
            "target": {"connection": "warehouse", "table": "orders"},
        }
    )

    def connections(name):
        if name == "warehouse":
            return Connection(name, "duckdb", host=str(database))
        return lake(name)

    def go():
        return run_pipeline(
            pipeline,
            connections=connections,
            run_id="run",
            base=tmp_path,
            options=EngineOptions(threads=1, scratch=tmp_path),
            clock=lambda: datetime.now(timezone.utc),
        )

    go.rows = lambda: duckdb.connect(str(database)).table("orders").fetchall()
    return go


def test_only_new_objects_are_asked_for(s3_server, proxy, run):
    for number in range(3):
        s3_server.put(f"in/{number}.csv", f"id\n{number}\n".encode())
    assert run().rows_loaded == 3
    s3_server.put("in/3.csv", b"id\n3\n")
    proxy.asked.clear()
    report = run()
    assert [found.input for found in report.inputs] == [s3_server.url("in/3.csv")]
    known = sum(proxy.count(method, f"/{number}.csv") for number in range(3) for method in VERBS)
    assert (known, proxy.count("GET", "/3.csv") > 0) == (0, True)
    proxy.asked.clear()
    assert run().status == "nothing_new"
    assert not any(proxy.count(method, ".csv") for method in VERBS)
    assert sorted(run.rows()) == [(0,), (1,), (2,), (3,)]


def test_an_object_that_was_replaced_is_noticed_by_its_etag(s3_server, run):
    s3_server.put("in/a.csv", b"id\n1\n")
    run()
    s3_server.put("in/a.csv", b"id\n2\n")
    with pytest.raises(LoadConflictError, match=r"in/a\.csv"):
        run()


def test_the_same_object_written_again_is_known(s3_server, run):
    s3_server.put("in/a.csv", b"id\n1\n")
    run()
    s3_server.put("in/a.csv", b"id\n1\n")
    assert run().status == "nothing_new"
