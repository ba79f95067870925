from __future__ import annotations

import pytest

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.kafka_connection import kafka_client_options
from airflow_etl_provider.exceptions import SpecificationError


def options(**extra):
    named = {name.replace("__", "."): value for name, value in extra.items()}
    return kafka_client_options(Connection("k", "kafka", extra=named))


def test_words_of_librdkafka_become_those_of_the_client():
    assert options(
        bootstrap__servers="a:9092, b:9092,",
        security__protocol="sasl_ssl",
        sasl__mechanisms="scram-sha-512",
        sasl__username="etl",
        sasl__password="x",
        ssl__ca__location="/ca.pem",
        ssl__endpoint__identification__algorithm="none",
        group__id="airflow",
        auto__offset__reset="latest",
    ) == {
        "bootstrap_servers": ["a:9092", "b:9092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "etl",
        "sasl_plain_password": "x",
        "ssl_cafile": "/ca.pem",
        "ssl_check_hostname": False,
    }


def test_oauth_is_a_role_at_amazon_and_refused_elsewhere():
    broker = "b-1.etl.abc.c2.kafka.eu-central-1.amazonaws.com:9098"
    secure = {"security__protocol": "SASL_SSL", "sasl__mechanism": "OAUTHBEARER"}

    assert options(bootstrap__servers=broker, **secure)["sasl_mechanism"] == "AWS_MSK_IAM"
    with pytest.raises(SpecificationError, match="Amazon MSK"):
        options(bootstrap__servers="a:9092", **secure)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({}, "no broker"),
        ({"bootstrap__servers": " , "}, "no broker"),
        ({"bootstrap__servers": "a:1", "ssl__certificate__pem": "hidden"}, "ssl.certificate.pem"),
        (
            {"bootstrap__servers": "a:1", "enable__ssl__certificate__verification": "false"},
            "enable.ssl.certificate.verification",
        ),
    ],
)
def test_what_can_not_be_done_is_refused_without_its_value(extra, words):
    with pytest.raises(SpecificationError, match=words) as told:
        options(**extra)

    assert "hidden" not in str(told.value)


def test_another_kind_of_connection_is_refused():
    with pytest.raises(SpecificationError, match="no Kafka"):
        kafka_client_options(Connection("k", "redis"))
