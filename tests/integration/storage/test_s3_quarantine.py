"""Loads whose rejects go to a bucket: durable before the commit, or nothing is published."""

from __future__ import annotations

import os

import pytest

from airflow_etl_provider.cli import main
from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.engines.quarantine import (
    QuarantineWriter,
    list_quarantines,
    read_quarantine,
)
from airflow_etl_provider.exceptions import BudgetExceededError, QuarantineError
from tests.integration.storage.proxy import refuse
from tests.integration.storage.test_s3_sources import Job

pytestmark = pytest.mark.s3

CSV = b"id,name\n1,Ada\nonly one\n2,Bob\n"


@pytest.fixture
def job(tmp_path, lake):
    return Job(tmp_path, lake)


@pytest.fixture
def quarantine(s3_server):
    return s3_server.url("lake/quarantine/")


def test_rejects_of_a_load_from_a_bucket_go_to_a_bucket_by_the_same_connection(
    s3_server, job, quarantine
):
    report = job.run(s3_server.put("a.csv", CSV), quarantine=quarantine)

    assert (report.rows_loaded, report.rows_quarantined) == (2, 1)
    assert report.quarantine.startswith(quarantine)
    (found,) = list_quarantines(quarantine, connection=s3_server.connection())
    assert (found.status, found.location) == ("published", report.quarantine)
    (reject,) = read_quarantine(report.quarantine, connection=s3_server.connection())
    assert reject.raw == b"only one"


def test_another_connection_can_be_named(s3_server, job, tmp_path, quarantine):
    (tmp_path / "a.csv").write_bytes(CSV)
    named = {"location": quarantine, "connection": "lake"}

    report = job.run(str(tmp_path / "a.csv"), connection=None, quarantine=named)

    assert report.quarantine.startswith(quarantine)


def test_the_environment_logs_in_where_no_connection_is_for_it(
    s3_server, job, tmp_path, quarantine, monkeypatch
):
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    (tmp_path / "a.csv").write_bytes(CSV)

    report = job.run(str(tmp_path / "a.csv"), connection=None, quarantine=quarantine)

    assert report.quarantine.startswith(quarantine)


@pytest.mark.parametrize("object_", ["owner.json", "rejects.parquet", "manifest.json"])
def test_what_can_not_be_kept_publishes_nothing(s3_server, job, proxy, quarantine, object_):
    proxy.behave = lambda asked: (
        refuse(403, "AccessDenied") if asked.method == "PUT" and object_ in asked.path else None
    )

    with pytest.raises(QuarantineError, match=r"access is denied.*Nothing was published"):
        job.run(s3_server.put("a.csv", CSV), quarantine=quarantine)

    assert not job.out.exists()
    assert s3_server.keys("lake/") == []


def test_a_store_that_is_busy_is_asked_again(s3_server, job, proxy, quarantine):
    proxy.behave = lambda asked: (
        refuse(503, "SlowDown") if asked.method == "PUT" and asked.number == 1 else None
    )

    report = job.run(s3_server.put("a.csv", CSV), quarantine=quarantine)

    assert report.rows_quarantined == 1


def test_over_the_budget_the_rejects_stay_and_say_so(s3_server, job, quarantine):
    with pytest.raises(BudgetExceededError, match="quarantine show s3://"):
        job.run(s3_server.put("a.csv", CSV), quarantine=quarantine, max_rejected=0)

    (found,) = list_quarantines(quarantine, connection=s3_server.connection())
    assert found.status == "not_published"


def test_a_load_that_is_run_again_sweeps_what_was_not_named(s3_server, job, quarantine):
    url = s3_server.put("a.csv", CSV)
    first = job.run(url, quarantine=quarantine)

    again = job.run(url, quarantine=quarantine, filter="id <> '2'")

    (left,) = list_quarantines(quarantine, connection=s3_server.connection())
    assert again.load_id == first.load_id
    assert left.location == again.quarantine != first.quarantine


def test_an_upload_that_is_given_up_leaves_no_parts(s3_server, quarantine):
    writer = QuarantineWriter(
        quarantine, pipeline="p", load_id="l", run_id="r", connection=s3_server.connection()
    )
    reasons = (Reason("x"),)
    writer.add(Reject("a", n, os.urandom(100_000), reasons) for n in range(400))
    uploads = s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket)
    assert uploads.get("Uploads")

    writer.discard()

    after = s3_server.client().list_multipart_uploads(Bucket=s3_server.bucket)
    assert not after.get("Uploads")
    assert s3_server.keys() == []


@pytest.fixture
def command(s3_server, monkeypatch, capsys):
    """Run the command with the environment's login; returns its exit code and what it wrote."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)

    def run(*words):
        code = main([str(word) for word in words])
        return code, capsys.readouterr().out

    return run


def test_the_command_loads_from_a_bucket_and_shows_the_rejects(
    s3_server, tmp_path, quarantine, command
):
    url = s3_server.put("a.csv", CSV)

    code, _ = command("load", url, tmp_path / "out.csv", "--quarantine", quarantine)
    _, listed = command("quarantine", "list", quarantine)
    location = listed.splitlines()[0]
    _, shown = command("quarantine", "show", location)

    assert code == 3
    assert "1 rows, published: wrong_field_count 1" in listed
    assert "only one" in shown


def test_the_command_shows_by_a_connection(s3_server, job, quarantine, monkeypatch, capsys):
    report = job.run(s3_server.put("a.csv", CSV), quarantine=quarantine)
    endpoint = s3_server.endpoint.replace(":", "%3A").replace("/", "%2F")
    secret = s3_server.secret.replace("/", "%2F").replace("+", "%2B")
    monkeypatch.setenv(
        "AIRFLOW_CONN_LAKE",
        f"aws://{s3_server.key}:{secret}@/?endpoint_url={endpoint}&region_name=us-east-1",
    )

    assert main(["quarantine", "show", report.quarantine, "--connection", "lake"]) == 0
    assert "only one" in capsys.readouterr().out


def test_the_command_says_why_it_can_not_list(s3_server, command, capsys):
    code = main(["quarantine", "list", "s3://no-such-bucket-anywhere/q"])

    assert code == 1
    assert "the bucket does not exist" in capsys.readouterr().err
