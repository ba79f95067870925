"""AWS connections of Airflow, resolved by the amazon provider against a real token service."""

from __future__ import annotations

import json

import pytest

from airflow_etl_provider.engines.storage import open_filesystem, without_scheme
from airflow_etl_provider.exceptions import CredentialsError
from airflow_etl_provider.hooks.connections import find_airflow_connection

pytestmark = pytest.mark.s3


@pytest.fixture
def define(monkeypatch, s3_server):
    """Define the connection `lake` with an extra field, and keys unless told not to."""

    def _define(*, keys: bool = True, **extra: object) -> None:
        given = {"conn_type": "aws", "extra": {"region_name": "us-east-1", **extra}}
        if keys:
            given |= {"login": s3_server.key, "password": s3_server.secret}
        monkeypatch.setenv("AIRFLOW_CONN_LAKE", json.dumps(given))

    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return _define


def read(url: str) -> bytes:
    found = find_airflow_connection("lake")
    return open_filesystem(url, connection=found).cat_file(without_scheme(url))


def test_keys_of_the_connection_read_its_bucket(s3_server, define):
    define(endpoint_url=s3_server.endpoint)

    assert read(s3_server.put("a", b"1")) == b"1"


def test_the_endpoint_may_be_that_of_the_service(s3_server, define):
    define(service_config={"s3": {"endpoint_url": s3_server.endpoint}})

    assert read(s3_server.put("a", b"1")) == b"1"


def test_a_role_is_assumed_and_its_credentials_can_be_renewed(s3_server, define):
    define(
        role_arn="arn:aws:iam::123456789012:role/loader",
        endpoint_url=s3_server.endpoint,
        service_config={"sts": {"endpoint_url": s3_server.endpoint}},
    )

    found = find_airflow_connection("lake")

    assert found.login != s3_server.key
    assert found.extra["aws_session_token"]
    assert "role_arn" not in found.extra
    assert found.renew is not None
    assert found.renew().login == found.login
    assert read(s3_server.put("a", b"1")) == b"1"


def test_a_role_that_nobody_gives_says_so(define):
    define(
        role_arn="arn:aws:iam::123456789012:role/loader",
        config_kwargs={"retries": {"total_max_attempts": 1}},
        service_config={"sts": {"endpoint_url": "http://127.0.0.1:9"}},
    )

    with pytest.raises(CredentialsError, match="'lake' gives no credentials") as refused:
        find_airflow_connection("lake")

    assert "secret" not in str(refused.value)


def test_the_environment_logs_in_where_the_connection_has_no_keys(s3_server, define, monkeypatch):
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    define(keys=False)

    assert read(s3_server.put("a", b"1")) == b"1"


def test_a_profile_that_does_not_exist_says_so(define):
    define(keys=False, profile_name="nobody")

    with pytest.raises(CredentialsError, match="ProfileNotFound"):
        find_airflow_connection("lake")


def test_no_secret_is_shown(s3_server, define):
    define(endpoint_url=s3_server.endpoint)

    assert s3_server.secret not in repr(find_airflow_connection("lake"))
