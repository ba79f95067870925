"""What a target's connection, location or URL means: which kind, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from airflow_etl_provider.contracts.pipeline import TargetSpec
from airflow_etl_provider.engines.storage import is_remote
from airflow_etl_provider.engines.storage.connection_folder import folder_of, path_below
from airflow_etl_provider.exceptions import (
    ConnectionNotFoundError,
    NotSupportedYetError,
    SpecificationError,
)

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connection, Connections
    from airflow_etl_provider.contracts.pipeline import Mode

__all__ = ["SUPPORTED", "TargetLocation", "locate", "parse_target"]

SUPPORTED = (
    "Supported are connections of type postgres, duckdb, file and aws, and the locations "
    "postgresql://user@host/database, duckdb:///file.db, file.parquet, file.csv, and folder/ or "
    "s3://bucket/prefix/ (with the slash: a folder of Parquet files)."
)

_POSTGRES = ("postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg")
_STORES = (
    "gs",
    "gcs",
    "abfs",
    "abfss",
    "az",
    "wasb",
    "wasbs",
    "hdfs",
    "http",
    "https",
)

COMMAND_LINE = "target"
"""The name of the connection that a URL on the command line becomes."""


@dataclass(frozen=True, slots=True)
class TargetLocation:
    """Where a target is: PostgreSQL has a connection, S3 a URL and perhaps one, others a path."""

    kind: Literal["postgres", "duckdb", "parquet", "csv", "folder"]
    path: Path | None = None
    url: str | None = None
    connection: Connection | None = None


def locate(spec: TargetSpec, *, connections: Connections, base: Path | None) -> TargetLocation:
    """Find out what a target's specification names.

    :raises SpecificationError: nothing that is supported.
    """
    if spec.connection is None:
        if spec.location is None:
            raise SpecificationError(f"The target has no connection and no location. {SUPPORTED}")
        return _at(spec.location, base=base, allow_password=False)
    connection = connections(spec.connection)
    kind = connection.kind.lower()
    if kind in ("file", "fs"):
        if spec.location is None:
            raise SpecificationError(
                f"The target's connection {connection.name!r} is a folder; it needs a location.",
                hint="Write `location: name.parquet`, `location: name.csv` or `location: folder/`.",
            )
        return _below(connection, spec.location, base=base)
    if kind == "aws":
        if spec.location is None or not is_remote(spec.location):
            raise SpecificationError(
                f"The target's connection {connection.name!r} is of type aws; it needs a location.",
                hint="Write `location: s3://bucket/prefix/`.",
            )
        at = _at(spec.location, base=None, allow_password=False)
        return TargetLocation(at.kind, url=at.url, connection=connection)
    if kind not in ("duckdb", "postgres", "postgresql"):
        raise SpecificationError(
            f"The target's connection {connection.name!r} is of type {connection.kind!r}. "
            f"{SUPPORTED}"
        )
    if spec.location is not None:
        raise SpecificationError(
            f"The target's connection {connection.name!r} is a database; it takes no location.",
            hint="Leave `location` away and name the `table`.",
        )
    if kind == "duckdb":
        return TargetLocation("duckdb", path=_duckdb_path(connection))
    return TargetLocation("postgres", connection=connection)


def parse_target(text: str, *, table: str | None) -> tuple[TargetSpec, Connections]:
    """Read a target as the command line has it.

    Files are replaced, tables and folders appended to, unless the caller changes the mode. A
    password in a URL stays in the connection; the specification does not hold it.

    :raises SpecificationError: it is no target that is supported.
    """
    at = _at(text, base=None, allow_password=True)
    if at.connection is not None:
        connection = at.connection
        if table is None:
            raise SpecificationError(
                "A PostgreSQL target needs a table.", hint="Name it with --table."
            )

        def find(name: str) -> Connection:
            if name != connection.name:
                raise ConnectionNotFoundError(f"There is no connection {name!r} here.")
            return connection

        return TargetSpec(connection=connection.name, table=table), find
    if at.kind in ("parquet", "csv", "folder") and table is not None:
        what = "a folder" if at.kind == "folder" else "a file"
        raise SpecificationError(f"{text} is {what}; it has no table.", hint="Leave --table away.")
    mode: Mode = "append" if at.kind in ("duckdb", "folder") else "replace"
    return TargetSpec(location=text, table=table, mode=mode), _no_connections


def _no_connections(name: str) -> Connection:
    raise ConnectionNotFoundError(f"There is no connection {name!r} here.")


def _below(connection: Connection, location: str, *, base: Path | None) -> TargetLocation:
    """What a location under a connection of files is; it stays in the folder that one names."""
    folder = folder_of(connection)
    if folder is None:
        return _at(location, base=base, allow_password=False)
    at = _at(location, base=folder, allow_password=False, inside=True)
    if at.path is None:
        raise SpecificationError(
            f"The location {location!r} is no file, and its connection already names a folder.",
            hint="Write a path relative to the connection's folder, or leave `connection` away.",
        )
    return at


def _at(
    text: str, *, base: Path | None, allow_password: bool, inside: bool = False
) -> TargetLocation:
    """What a text means.

    :param inside: a path must not lead out of `base`.
    """
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower() if separator else ""
    if scheme in _POSTGRES:
        from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri

        connection = parse_postgres_uri(f"postgresql://{rest}", name=COMMAND_LINE)
        if connection.password is not None and not allow_password:
            raise SpecificationError(
                "The target's location holds a password.",
                hint="Put it into a connection, and name that under `connection`.",
            )
        return TargetLocation("postgres", connection=connection)
    if scheme == "duckdb":
        if not rest.startswith("/") or rest in ("/", "/:memory:"):
            raise SpecificationError(
                "A DuckDB target is written duckdb:///relative.db or duckdb:////absolute.db."
            )
        return TargetLocation("duckdb", path=_resolved(rest[1:], base, inside=inside))
    if is_remote(text):
        if not rest.endswith("/"):
            raise NotSupportedYetError(
                f"A single file at {scheme}:// is not supported yet as a target.",
                hint=f"For a folder of Parquet files write {text}/, with a slash at its end.",
            )
        return TargetLocation("folder", url=f"s3://{rest}")
    if scheme in _STORES:
        raise NotSupportedYetError(f"A target at {scheme}:// is not supported yet. {SUPPORTED}")
    if scheme not in ("", "file"):
        raise SpecificationError(f"{scheme}:// is no target that is known. {SUPPORTED}")
    text_path = unquote(urlsplit(text).path) if scheme == "file" else text
    path = _resolved(text_path, base, inside=inside)
    if text_path.endswith("/"):
        return TargetLocation("folder", path=path)
    kinds: dict[str, Literal["duckdb", "parquet", "csv"]] = {
        ".parquet": "parquet",
        ".csv": "csv",
        ".duckdb": "duckdb",
    }
    kind = kinds.get(path.suffix.lower())
    if kind is None and path.is_dir():
        raise SpecificationError(
            f"{text} is a folder.", hint=f"For Parquet files in it write {text}/, with a slash."
        )
    if kind is None:
        raise SpecificationError(f"{text} does not say what kind of target it is. {SUPPORTED}")
    return TargetLocation(kind, path=path)


def _resolved(text: str, base: Path | None, *, inside: bool) -> Path:
    if inside and base is not None:
        return path_below(base, text)
    path = Path(text).expanduser()
    return (base / path if base is not None else path).absolute()


def _duckdb_path(connection: Connection) -> Path:
    extra = connection.extra
    named = connection.host or connection.schema
    path = named or extra.get("path") or extra.get("database") or extra.get("file")
    if not path or path == ":memory:":
        raise SpecificationError(
            f"The DuckDB connection {connection.name!r} names no file.",
            hint="Put the file's path into its host field.",
        )
    return Path(str(path)).expanduser().absolute()
