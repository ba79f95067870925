"""Where the metadata store of a connection is."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import URL

from airflow_etl_provider.engines.targets.postgres.uri import postgres_uri
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["url_of"]


def url_of(connection: Connection) -> URL:
    """Give SQLAlchemy's URL of a connection of type postgres or sqlite.

    :raises SpecificationError: it is of another type, or says what the driver does not know.
    """
    if connection.kind == "sqlite":
        path = connection.host or connection.schema
        if not path:
            raise SpecificationError(
                f"Connection {connection.name!r} names no file.",
                hint="Put the absolute path of the SQLite file into its host.",
            )
        return URL.create("sqlite", database=path)
    if connection.kind != "postgres":
        raise SpecificationError(
            f"Connection {connection.name!r} is of type {connection.kind!r}, which is no metadata "
            "store.",
            hint="Make it of type postgres or sqlite.",
        )
    given = dict(parse_qsl(urlsplit(postgres_uri(connection)).query))
    port = given.pop("port", None)
    return URL.create(
        "postgresql+psycopg2",
        username=given.pop("user", None),
        password=given.pop("password", None),
        host=given.pop("host", None),
        port=int(port) if port is not None and port.isdigit() else None,
        database=given.pop("dbname", None),
        query=given,
    )
