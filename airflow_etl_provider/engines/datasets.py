"""The names by which the world knows what a pipeline reads and writes.

https://openlineage.io/docs/spec/naming
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connection, Connections
    from airflow_etl_provider.contracts.pipeline import SourceSpec, TargetSpec

__all__ = ["Dataset", "name_source", "name_target"]

_ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "postgresql": "postgres"}
_FOLDERS = ("file", "fs")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset's name: who holds it, and what it is called there. No login, no password."""

    namespace: str
    name: str


def name_source(spec: SourceSpec, *, connections: Connections, base: Path | None) -> Dataset:
    """Name the files that a location means: by the location, also where that is a pattern.

    A pattern stays the same dataset from run to run, whatever files are there.
    """
    if spec.of_database and spec.connection:
        return _table(connections(spec.connection), spec.place or "", schema=None)
    return _place(spec.location or "", spec.connection, connections=connections, base=base)


def name_target(
    spec: TargetSpec,
    *,
    connections: Connections,
    base: Path | None,
    pipeline: str,
    schema: str | None = None,
) -> Dataset:
    """Name the table or file that a pipeline writes.

    :param pipeline: names the table where none is given.
    :param schema: of the table, where the database was asked for it.
    """
    table = spec.table or pipeline
    if spec.location is None:
        return _table(connections(spec.connection or ""), table, schema=schema)
    scheme, separator, rest = spec.location.partition("://")
    if separator and scheme == "duckdb":
        return _duckdb_table(_absolute(rest.removeprefix("/"), base), table)
    if separator and _ALIASES.get(scheme, scheme) == "postgres":
        from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri

        return _table(parse_postgres_uri(f"postgresql://{rest}"), table, schema=schema)
    named = _place(spec.location, spec.connection, connections=connections, base=base)
    if named.namespace == "file" and named.name.endswith(".duckdb"):
        return _duckdb_table(named.name, table)
    return named


def _place(
    location: str, connection_name: str | None, *, connections: Connections, base: Path | None
) -> Dataset:
    """Name a file, a folder or a pattern."""
    if "://" not in location and connection_name is not None:
        connection = connections(connection_name)
        if connection.kind in _FOLDERS:
            folder = connection.extra.get("path") or connection.host
            return Dataset("file", _absolute(location, Path(str(folder)) if folder else base))
        from airflow_etl_provider.engines.sources.files import in_bucket

        location = in_bucket(location, connection)
    if "://" not in location:
        return Dataset("file", _absolute(location, base))
    written, _, rest = location.partition("://")
    scheme = _ALIASES.get(written.lower(), written.lower())
    if scheme == "file":
        return Dataset("file", _absolute(unquote(urlsplit(location).path), None))
    server, _, path = rest.partition("/")
    if scheme in ("http", "https"):
        # What comes after it may be a token. In a pattern of keys a question mark is a letter.
        path = path.partition("?")[0]
    return Dataset(f"{scheme}://{server.rpartition('@')[2]}", path.strip("/") or "/")


def _table(connection: Connection, table: str, *, schema: str | None) -> Dataset:
    from airflow_etl_provider.engines.targets.table_name import parse_table_name

    kind = _ALIASES.get(connection.kind, connection.kind)
    if kind == "duckdb":
        extra = connection.extra
        path = connection.host or connection.schema or extra.get("path") or extra.get("file")
        return _duckdb_table(_absolute(str(path), None), table)
    if kind == "sqlite":
        path = _absolute(connection.host or connection.schema or "", None)
        return Dataset(f"sqlite://{path}", f"{Path(path).stem}.main.{parse_table_name(table).name}")
    host = connection.host or connection.extra.get("service") or "localhost"
    port = connection.port or (5432 if kind == "postgres" else None)
    database = connection.schema or connection.login or ""
    name = parse_table_name(table)
    namespace = f"{kind}://{host}:{port}" if port else f"{kind}://{host}"
    return Dataset(namespace, f"{database}.{name.schema or schema or 'public'}.{name.name}")


def _duckdb_table(path: str, table: str) -> Dataset:
    from airflow_etl_provider.engines.targets.table_name import parse_table_name

    name = parse_table_name(table)
    return Dataset(f"duckdb://{path}", f"{Path(path).stem}.{name.schema or 'main'}.{name.name}")


def _absolute(text: str, base: Path | None) -> str:
    path = Path(text).expanduser()
    # Not `resolve`: what a link points at is another name of the same files.
    return os.path.normpath((base / path if base is not None else path).absolute())
