"""Airflow connections as the core sees them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.exceptions import ConnectionNotFoundError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow.sdk import Connection as AirflowConnection

    from airflow_etl_provider.contracts.pipeline import Pipeline

__all__ = [
    "find_airflow_connection",
    "refuse_secret",
    "refuse_secrets",
    "resolve_connection",
    "to_core_connection",
]

SECRET_WORDS = frozenset(
    (
        "access_token",
        "api_key",
        "apikey",
        "passwd",
        "password",
        "pwd",
        "secret",
        "sig",
        "sslpassword",
        "token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
    )
)
"""Names of URL parameters whose value logs somebody in."""


def find_airflow_connection(name: str) -> Connection:
    """Look a connection up where this task may: environment, secrets backends, Airflow itself.

    :raises ConnectionNotFoundError: none of them knows it.
    """
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found = BaseHook.get_connection(name)
    except AirflowNotFoundException as error:
        raise ConnectionNotFoundError(
            f"The connection {name!r} is not defined in this Airflow.",
            hint="Add it under Admin > Connections, in a secrets backend, or as the environment "
            f"variable AIRFLOW_CONN_{name.upper()}.",
        ) from error
    return resolve_connection(found)


def resolve_connection(connection: AirflowConnection) -> Connection:
    """Copy what the core needs; credentials that a provider has to fetch are fetched.

    :raises CredentialsError: the provider gets none.
    """
    if (connection.conn_type or "").lower() == "aws":
        from airflow_etl_provider.hooks.aws import resolve_aws_connection

        return resolve_aws_connection(connection)
    return to_core_connection(connection)


def to_core_connection(connection: AirflowConnection) -> Connection:
    """Copy what the core needs, spelling one thing one way.

    The path of a DuckDB file is the `host`, also where Airflow reads it into `schema` because the
    connection was written as `duckdb:////data/warehouse.db`.
    """
    kind = (connection.conn_type or "").lower()
    host, schema = connection.host or None, connection.schema or None
    if kind == "duckdb" and host is None:
        host, schema = schema, None
    return Connection(
        name=connection.conn_id,
        kind=kind,
        host=host,
        port=connection.port,
        login=connection.login or None,
        password=connection.password or None,
        schema=schema,
        extra=_extra(connection),
    )


def _extra(connection: AirflowConnection) -> dict[str, Any]:
    """Read the extra field; what is broken there is the owner's to mend, not ours to ignore."""
    if not connection.extra:
        return {}
    try:
        extra = json.loads(connection.extra)
    except json.JSONDecodeError:
        extra = None
    if not isinstance(extra, dict):
        raise SpecificationError(
            f"The extra field of connection {connection.conn_id!r} is not a JSON object.",
            hint='Write it as {"key": "value"}.',
        ) from None
    return extra


def refuse_secrets(pipeline: Pipeline) -> None:
    """Stop a pipeline that carries credentials in a location: it ends up in logs, XComs and git.

    :raises SpecificationError: names the key, never the value.
    """
    for key, location in _locations(pipeline):
        refuse_secret(location, key=key, owner=f"pipeline {pipeline.pipeline!r}")


def refuse_secret(location: str, *, key: str, owner: str) -> None:
    """Stop a location that carries credentials.

    :raises SpecificationError: names the key and whose it is, never the value.
    """
    try:
        parts = urlsplit(location)
    except ValueError:
        # The reason that Python gives repeats what stands before the host: a password, too.
        raise SpecificationError(
            f"`{key}` of {owner} is no URL that can be read.",
            hint="Look at its host: brackets, and letters that only look like `/`, `?`, `#` or "
            "`@`. A password belongs into an Airflow connection, named under `connection`.",
        ) from None
    named = {name.lower() for name, _ in parse_qsl(parts.query)} & SECRET_WORDS
    if parts.password or (parts.scheme and named):
        raise SpecificationError(
            f"`{key}` of {owner} holds a password or token.",
            hint="Put it into an Airflow connection and name that under `connection`.",
        )


def _locations(pipeline: Pipeline) -> Iterator[tuple[str, str]]:
    inputs = ((f"inputs.{name}.location", spec.location) for name, spec in pipeline.inputs.items())
    for key, value in (
        ("source.location", pipeline.source.location),
        *inputs,
        ("target.location", pipeline.target.location),
        ("target.table", pipeline.target.table),
        ("quarantine", pipeline.quarantine and pipeline.quarantine.location),
    ):
        if value:
            yield key, value
