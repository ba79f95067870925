"""File systems that are opened by URL and connection, on a real S3 interface."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_etl_provider.engines.storage import open_filesystem, trouble_of, without_scheme

pytestmark = pytest.mark.s3


def test_what_is_written_is_there_for_another_client(s3_server):
    fs = open_filesystem("s3://", connection=s3_server.connection())

    with fs.open(f"{s3_server.bucket}/a/b.bin", "wb") as file:
        file.write(b"x" * 100)

    assert s3_server.keys() == ["a/b.bin"]


def test_a_listing_is_never_of_yesterday(s3_server):
    fs = open_filesystem(s3_server.url(), connection=s3_server.connection())
    s3_server.put("a/1", b"1")
    assert len(fs.ls(f"{s3_server.bucket}/a")) == 1

    s3_server.put("a/2", b"2")

    assert len(fs.ls(f"{s3_server.bucket}/a")) == 2


@pytest.mark.parametrize("scheme", ["s3", "s3a", "S3"])
def test_hadoops_schemes_are_the_same_place(s3_server, scheme):
    s3_server.put("a", b"1")
    fs = open_filesystem(f"{scheme}://{s3_server.bucket}/a", connection=s3_server.connection())

    assert fs.cat_file(without_scheme(f"{scheme}://{s3_server.bucket}/a")) == b"1"


def test_without_a_connection_the_environment_logs_in(s3_server, monkeypatch):
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    url = s3_server.put("a", b"1")

    assert open_filesystem(url).cat_file(without_scheme(url)) == b"1"


def test_a_profile_logs_in(s3_server, monkeypatch, tmp_path):
    keys = f"aws_access_key_id = {s3_server.key}\naws_secret_access_key = {s3_server.secret}\n"
    (tmp_path / "credentials").write_text(f"[loads]\n{keys}")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    url = s3_server.put("a", b"1")
    connection = replace(s3_server.connection(profile_name="loads"), login=None, password=None)

    assert open_filesystem(url, connection=connection).cat_file(without_scheme(url)) == b"1"


def test_credentials_that_run_out_are_renewed_in_mid_run(s3_server):
    given = s3_server.connection()
    asked = []

    def renew():
        asked.append(1)
        return replace(given, login=f"AKIA{len(asked):012}")

    url = s3_server.put("a", b"1")
    fs = open_filesystem(url, connection=replace(given, renew=renew))
    fs.cat_file(without_scheme(url))
    before = len(asked)

    fs.cat_file(without_scheme(url))

    assert len(asked) > before


def test_the_endpoint_of_the_service_goes_before_the_general_one(s3_server):
    url = s3_server.put("a", b"1")
    connection = s3_server.connection(
        endpoint_url="http://127.0.0.1:9",
        service_config={"s3": {"endpoint_url": s3_server.endpoint}},
    )

    assert open_filesystem(url, connection=connection).cat_file(without_scheme(url)) == b"1"


def test_a_bucket_that_is_not_there_is_missing(s3_server):
    fs = open_filesystem("s3://", connection=s3_server.connection())

    with pytest.raises(OSError) as failed:  # noqa: PT011 - what it is called is s3fs's choice
        fs.cat_file("no-such-bucket-anywhere/a")

    assert trouble_of(failed.value).kind == "missing"


def test_a_server_that_is_not_there_is_unavailable(s3_server):
    connection = s3_server.connection(endpoint_url="http://127.0.0.1:9")
    fs = open_filesystem("s3://", connection=connection)

    with pytest.raises(Exception) as failed:  # noqa: PT011
        fs.cat_file(f"{s3_server.bucket}/a")

    assert trouble_of(failed.value).kind == "unavailable"


def test_a_local_path_needs_no_connection(tmp_path):
    (tmp_path / "a").write_bytes(b"1")

    assert open_filesystem(str(tmp_path)).cat_file(str(tmp_path / "a")) == b"1"
