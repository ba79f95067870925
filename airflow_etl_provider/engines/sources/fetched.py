"""A source whose files are elsewhere: each is copied here when its scan begins to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from airflow_etl_provider.engines.sources.base import Described
from airflow_etl_provider.engines.sources.bundle import Bundling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.sources.base import Account, Readable, Scan, Source
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect
    from airflow_etl_provider.engines.sources.depot import Depot
    from airflow_etl_provider.engines.sources.files import FileInput
    from airflow_etl_provider.engines.sources.remote import RemoteFile
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["FetchedSource"]


class FetchedSource:
    """Wraps the source of a format, which reads the copies as it reads any file."""

    def __init__(self, inner: Source, files: tuple[FileInput, ...], *, depot: Depot) -> None:
        self._inner = inner
        self._depot = depot
        self._remotes = {file.identity: file.stored.remote for file in files}

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def inputs(self) -> tuple[InputIdentity, ...]:
        return self._inner.inputs

    @property
    def schema(self) -> Schema:
        return self._inner.schema

    @property
    def suggested(self) -> Schema:
        return self._inner.suggested

    @property
    def format(self) -> str:
        return self._inner.format if isinstance(self._inner, Described) else "files"

    @property
    def dialect(self) -> ResolvedDialect | None:
        return self._inner.dialect if isinstance(self._inner, Described) else None

    def scan(self, input: InputIdentity, *, careful: bool = False) -> Scan:
        remote = self._remotes[input]
        if remote is None:
            return self._inner.scan(input, careful=careful)
        return _FetchedScan(self._inner, input, remote, careful=careful)

    def units(
        self, *, careful: frozenset[InputIdentity] | None
    ) -> Iterator[tuple[InputIdentity, ...]]:
        if isinstance(self._inner, Bundling) and self._depot.keeps_all:
            yield from self._inner.units(careful=careful)
        else:
            yield from ((input,) for input in self.inputs)

    def scan_together(self, inputs: tuple[InputIdentity, ...]) -> Readable:
        for input in inputs:
            remote = self._remotes[input]
            if remote is not None:
                remote.fetch()
        return cast("Bundling", self._inner).scan_together(inputs)

    def close(self) -> None:
        self._inner.close()
        self._depot.close()


class _FetchedScan:
    """Makes the scan it stands for only when it is read: many may be waiting at once."""

    def __init__(
        self, source: Source, input: InputIdentity, remote: RemoteFile, *, careful: bool
    ) -> None:
        self._source = source
        self._input = input
        self._remote = remote
        self._careful = careful
        self._scan: Scan | None = None

    @property
    def input(self) -> InputIdentity:
        return self._input

    @property
    def careful(self) -> bool:
        return self._careful if self._scan is None else self._scan.careful

    def relation(self, connection: DuckDBPyConnection) -> str:
        self._remote.fetch()
        return self._opened().relation(connection)

    def account(self, *, rows_seen: int) -> Account:
        return self._opened().account(rows_seen=rows_seen)

    def rejects(self) -> Iterator[Reject]:
        return self._opened().rejects()

    def record_numbers(self, rows: list[int]) -> list[int]:
        return self._opened().record_numbers(rows)

    def raw(self, fields: dict[str, str | None]) -> bytes:
        return self._opened().raw(fields)

    @property
    def failure(self) -> EtlError | None:
        return None if self._scan is None else self._scan.failure

    def close(self) -> None:
        if self._scan is not None:
            self._scan.close()
        self._remote.release()

    def _opened(self) -> Scan:
        if self._scan is None:
            self._scan = self._source.scan(self._input, careful=self._careful)
        return self._scan
