"""What s3fs is told of a connection."""

from __future__ import annotations

import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.engines.storage import open_filesystem
from airflow_etl_provider.engines.storage.s3 import s3_options
from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError


def aws(**extra):
    return Connection("lake", "aws", login="key", password="secret", extra=extra)


def test_keys_token_region_and_certificate_are_handed_on():
    options = s3_options(aws(aws_session_token="t", region_name="eu-west-1", verify="/ca.pem"))

    assert (options["key"], options["secret"], options["token"]) == ("key", "secret", "t")
    assert options["client_kwargs"] == {"region_name": "eu-west-1", "verify": "/ca.pem"}


def test_keys_may_stand_in_the_extra_field():
    extra = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}

    options = s3_options(Connection("lake", "aws", extra=extra))

    assert (options["key"], options["secret"]) == ("k", "s")


@pytest.mark.parametrize(
    ("given", "handed_on"),
    [
        ({"max_attempts": 9}, {"mode": "standard", "max_attempts": 9}),
        ({"total_max_attempts": 9}, {"mode": "standard", "total_max_attempts": 9}),
        ({"mode": "adaptive"}, {"mode": "adaptive", "total_max_attempts": 5}),
    ],
)
def test_attempts_of_the_connection_go_before_ours_and_the_rest_stays(given, handed_on):
    config = s3_options(aws(config_kwargs={"retries": given}))["config_kwargs"]

    assert config["retries"] == handed_on
    assert config["read_timeout"] == 60


def test_unsigned_requests_carry_no_keys():
    options = s3_options(aws(config_kwargs={"signature_version": "unsigned"}))

    assert options["anon"] is True
    assert "key" not in options


def test_certificates_are_not_checked_only_when_told_so():
    assert s3_options(aws(verify=False))["client_kwargs"] == {"verify": False}


def test_a_role_is_not_silently_left_out():
    with pytest.raises(SpecificationError, match="role_arn"):
        s3_options(aws(role_arn="arn:aws:iam::1:role/r"))


def test_a_setting_that_is_no_object_is_refused():
    with pytest.raises(SpecificationError, match="config_kwargs"):
        s3_options(aws(config_kwargs="fast"))


def test_another_kind_of_connection_is_refused():
    with pytest.raises(SpecificationError, match="of type 'postgres'"):
        open_filesystem("s3://b/k", connection=Connection("db", "postgres"))


@pytest.mark.parametrize("url", ["gs://b/k", "https://example.org/a.csv", "ftp://h/f"])
def test_places_that_are_planned_are_named(url):
    with pytest.raises(NotSupportedYetError, match="not supported yet"):
        open_filesystem(url)
