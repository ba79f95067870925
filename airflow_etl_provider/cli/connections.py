"""Airflow connections for a command that should not have to import Airflow."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.exceptions import ConnectionNotFoundError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["find_connection", "read_connection"]


def find_connection(name: str) -> Connection:
    """Look in AIRFLOW_CONN_<NAME>, then where the Airflow that is configured here looks.

    :raises ConnectionNotFoundError: neither knows it.
    """
    variable = f"AIRFLOW_CONN_{name.upper()}"
    if text := os.environ.get(variable):
        return _resolved(read_connection(name, text, variable=variable))
    if _airflow_is_configured(os.environ):
        found = _ask_airflow(name)
        if found is not None:
            return found
    raise ConnectionNotFoundError(
        f"The connection {name!r} is not defined.",
        hint=f"Set {variable} to a URI (postgres://user:password@host/database, "
        "duckdb:////data/file.db) or to JSON, or add it to the Airflow whose AIRFLOW_HOME is set.",
    )


def _resolved(connection: Connection) -> Connection:
    """Ask the amazon provider for the credentials of a role; plain keys and profiles need none."""
    if connection.kind != "aws" or not connection.extra.get("role_arn"):
        return connection
    with redirect_stdout(sys.stderr):
        try:
            from airflow.models.connection import Connection as AirflowConnection
        except ModuleNotFoundError:
            return connection
        from airflow_etl_provider.hooks.connections import resolve_connection

        return resolve_connection(
            AirflowConnection(
                conn_id=connection.name,
                conn_type="aws",
                login=connection.login,
                password=connection.password,
                extra=json.dumps(connection.extra),
            )
        )


def read_connection(name: str, text: str, *, variable: str) -> Connection:
    """Read a connection as Airflow writes it into the environment: a URI or a JSON object.

    :raises SpecificationError: it is neither; the message holds nothing of the text.
    """
    text = text.strip()
    try:
        return _from_json(name, text) if text.startswith("{") else _from_uri(name, text)
    except (ValueError, TypeError, AttributeError):
        raise SpecificationError(
            f"{variable} is no connection.",
            hint="Write a URI such as postgres://user:password@host:5432/database with special "
            'characters percent-encoded, or JSON: {"conn_type": "duckdb", "host": "/data/x.db"}.',
        ) from None


def _from_json(name: str, text: str) -> Connection:
    given = json.loads(text)
    extra = given.get("extra") or {}
    if isinstance(extra, str):
        extra = json.loads(extra)
    return _connection(
        name,
        kind=given.get("conn_type", ""),
        host=given.get("host"),
        port=int(given["port"]) if given.get("port") else None,
        login=given.get("login"),
        password=given.get("password"),
        schema=given.get("schema"),
        extra=dict(extra),
    )


def _from_uri(name: str, text: str) -> Connection:
    kind, separator, rest = text.partition("://")
    if not separator or not kind:
        raise ValueError
    # `kind://https://host` keeps the inner scheme as part of the host, as Airflow does.
    inner, inner_separator, inner_rest = rest.partition("://")
    with_protocol = bool(inner_separator) and not set(inner) & set("/?@:")
    parts = urlsplit(f"//{inner_rest if with_protocol else rest}")
    host = _host_of(parts)
    if with_protocol and host:
        host = f"{inner}://{host}"
    extra: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    if "__extra__" in extra:
        extra = dict(json.loads(extra["__extra__"]))
    return _connection(
        name,
        kind=kind,
        host=host,
        port=parts.port,
        login=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        schema=unquote(parts.path[1:]),
        extra=extra,
    )


def _host_of(parts: SplitResult) -> str:
    """Take the host as Airflow does: in lower case, unless it is a path such as %2Ftmp%2FDb."""
    host = unquote(parts.hostname or "")
    if "/" in host:
        host = unquote(parts.netloc.rpartition("@")[2].partition(":")[0])
    return host


def _connection(
    name: str,
    *,
    kind: str,
    host: str | None,
    schema: str | None,
    extra: dict[str, Any],
    **rest: Any,
) -> Connection:
    kind = {"postgresql": "postgres"}.get(kind.lower(), kind.lower()).replace("-", "_")
    host, schema = host or None, schema or None
    if kind == "duckdb" and host is None:
        host, schema = schema, None
    return Connection(name=name, kind=kind, host=host, schema=schema, extra=extra, **rest)


def _airflow_is_configured(environ: Mapping[str, str]) -> bool:
    """Whether asking Airflow makes sense: importing it writes a home where there is none."""
    home = environ.get("AIRFLOW_HOME")
    settings = Path(home) if home else Path.home() / "airflow"
    return (settings / "airflow.cfg").exists() or any(
        key.startswith("AIRFLOW__") for key in environ
    )


def _ask_airflow(name: str) -> Connection | None:
    """Look through the secrets backends and the connections table, as Airflow itself does."""
    # Airflow logs to stdout, which belongs to the report.
    with redirect_stdout(sys.stderr):
        try:
            from airflow.models.connection import Connection as AirflowConnection
            from airflow.sdk.exceptions import AirflowNotFoundException
        except ModuleNotFoundError:
            return None
        from airflow_etl_provider.hooks.connections import resolve_connection

        try:
            return resolve_connection(AirflowConnection.get_connection_from_secrets(name))
        except AirflowNotFoundException:
            return None
