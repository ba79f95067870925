"""A Kafka connection of Airflow as kafka-python wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["kafka_client_options"]

_NAMES = {
    "client.id": "client_id",
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
    "sasl.kerberos.service.name": "sasl_kerberos_service_name",
    "ssl.ca.location": "ssl_cafile",
    "ssl.certificate.location": "ssl_certfile",
    "ssl.key.location": "ssl_keyfile",
    "ssl.key.password": "ssl_password",
    "ssl.crl.location": "ssl_crlfile",
    "ssl.cipher.suites": "ssl_ciphers",
}
"""Airflow's connection holds options of librdkafka; what is not of login or encryption tunes it."""

_UPPER = frozenset(("security_protocol", "sasl_mechanism"))


def kafka_client_options(connection: Connection) -> dict[str, Any]:
    """Give the arguments that every client of kafka-python takes.

    The connection's `extra` holds options in librdkafka's words, as those of Airflow's Kafka
    provider do: `bootstrap.servers`, `security.protocol`, `sasl.mechanism` and so on. What says
    nothing of login or encryption (timeouts, `group.id`) is passed over. OAUTHBEARER to brokers of
    Amazon MSK logs in as the worker's role.

    :raises SpecificationError: it is no Kafka connection, names no broker, or asks for a login or
        an encryption that this client can't do.
    """
    if connection.kind != "kafka":
        raise SpecificationError(f"Connection {connection.name!r} is of no Kafka.")
    extra = connection.extra
    servers = str(extra.get("bootstrap.servers") or "")
    brokers = [part.strip() for part in servers.split(",") if part.strip()]
    if not brokers:
        raise SpecificationError(
            f"Connection {connection.name!r} names no broker.",
            hint='Write {"bootstrap.servers": "host:9092"} into its extra.',
        )
    options: dict[str, Any] = {"bootstrap_servers": brokers}
    for name, value in extra.items():
        ours = _NAMES.get(name)
        if ours is not None:
            options[ours] = str(value).upper() if ours in _UPPER else str(value)
        elif name.startswith(("ssl.", "sasl.", "enable.ssl.")):
            options |= _special(connection.name, name, str(value))
    if options.get("sasl_mechanism") == "OAUTHBEARER":
        if not all(".kafka." in b and ".amazonaws.com" in b for b in brokers):
            raise SpecificationError(
                f"Connection {connection.name!r} logs in with OAUTHBEARER, which works with "
                "Amazon MSK alone.",
                hint="Use SCRAM-SHA-512, PLAIN, GSSAPI or certificates.",
            )
        options["sasl_mechanism"] = "AWS_MSK_IAM"
    return options


def _special(connection: str, name: str, value: str) -> dict[str, Any]:
    """Give what an option of login or encryption with no exact counterpart means."""
    if name == "ssl.endpoint.identification.algorithm":
        return {"ssl_check_hostname": value.lower() == "https"}
    if name == "enable.ssl.certificate.verification" and value.lower() == "true":
        return {}
    raise SpecificationError(
        f"Connection {connection!r} sets {name!r}, which this client can't do.",
        hint=f"Known: {', '.join([*_NAMES, 'ssl.endpoint.identification.algorithm'])}.",
    )
