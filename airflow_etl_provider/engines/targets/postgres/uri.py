"""Connections to PostgreSQL as libpq writes them, and back.

https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.exceptions import SpecificationError

__all__ = ["parse_postgres_uri", "postgres_uri", "server_of"]

APPLICATION = "airflow_etl_provider"

_KEYWORDS = frozenset(
    {
        "application_name",
        "channel_binding",
        "connect_timeout",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "options",
        "passfile",
        "require_auth",
        "requirepeer",
        "service",
        "servicefile",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
    }
)
"""What an extra may hold besides who, where and which database."""

_AIRFLOW_ONLY = frozenset(
    {
        "aws_conn_id",
        "azure_conn_id",
        "cluster-identifier",
        "cursor",
        "iam",
        "redshift",
        "redshift-serverless",
        "sqlalchemy_query",
        "sqlalchemy_scheme",
        "workgroup-name",
    }
)
"""Extras of Airflow's own PostgreSQL hook; libpq knows none of them."""


def postgres_uri(connection: Connection) -> str:
    """Write a connection as one URI for libpq. It holds the password: never show it.

    Everything goes into the query part, the only place where sockets, IPv6 and lists of hosts need
    no rules of their own.

    :raises SpecificationError: an extra that means nothing to libpq.
    """
    values: dict[str, Any] = {
        "host": connection.host,
        "port": connection.port,
        "user": connection.login,
        "password": connection.password,
        "dbname": connection.schema,
        "application_name": APPLICATION,
        "connect_timeout": 15,
    }
    for key, value in connection.extra.items():
        if key in _KEYWORDS:
            values[key] = value
        elif key == "iam" and value in (True, "true", "True", "1"):
            raise SpecificationError(
                f"Connection {connection.name!r} logs in by IAM, which a target can't do.",
                hint="Give the connection a password or token.",
            )
        elif key not in _AIRFLOW_ONLY:
            raise SpecificationError(
                f"Connection {connection.name!r} has the extra {key!r}, which PostgreSQL does not "
                "know.",
                hint=f"Allowed: {', '.join(sorted(_KEYWORDS))}.",
            )
    # Text goes over the wire as UTF-8, whatever the server stores.
    values["client_encoding"] = "UTF8"
    given = {key: str(value) for key, value in values.items() if value not in (None, "")}
    if any("\0" in value for value in given.values()):
        raise SpecificationError(f"Connection {connection.name!r} holds a NUL character.")
    return "postgresql:///?" + urlencode(given, quote_via=quote)


def parse_postgres_uri(uri: str, *, name: str = "postgresql") -> Connection:
    """Read `postgresql://user:password@host:port/database?sslmode=...` as a connection.

    :raises SpecificationError: it is none; the message does not repeat it, since it may hold a
        password.
    """
    try:
        parts = urlsplit(uri)
        query = dict(
            parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        )
    except ValueError:
        parts, query = None, {}
    if parts is None or parts.scheme not in ("postgresql", "postgres") or parts.fragment:
        raise SpecificationError(
            "This is no URI of a PostgreSQL database.",
            hint="Write postgresql://user:password@host:5432/database, with the special characters "
            "of user, password and database percent-encoded (/ is %2F, @ is %40, # is %23).",
        )
    account, _, where = parts.netloc.rpartition("@")
    login, _, password = account.partition(":")
    host, port = _host_and_port(where)
    return Connection(
        name=name,
        kind="postgres",
        host=query.pop("host", None) or host,
        port=_port(query.pop("port", None)) or port,
        login=query.pop("user", None) or unquote(login) or None,
        password=query.pop("password", None) or unquote(password) or None,
        schema=query.pop("dbname", None) or unquote(parts.path.removeprefix("/")) or None,
        extra=query,
    )


def server_of(connection: Connection) -> str:
    """Give server and database as shown to people: no login, no password."""
    host = connection.host or connection.extra.get("service") or "localhost"
    port = f":{connection.port}" if connection.port else ""
    return f"postgresql://{host}{port}/{connection.schema or connection.login or ''}"


def _host_and_port(where: str) -> tuple[str | None, int | None]:
    if where.startswith("["):
        host, _, rest = where[1:].partition("]")
        return host, _port(rest.removeprefix(":"))
    host, _, port = where.partition(":")
    return unquote(host) or None, _port(port)


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise SpecificationError("The port of the PostgreSQL URI is no number from 1 to 65535.")
    return int(text)
