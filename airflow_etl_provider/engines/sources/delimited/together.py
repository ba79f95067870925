"""Small delimited files that DuckDB reads in one go, and which of them it may."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from airflow_etl_provider.engines.sources.delimited.view import csv_view, drop_view, reject_query
from airflow_etl_provider.engines.sources.stream import new_view_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.engines.sources.delimited.count import ByteCount
    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect
    from airflow_etl_provider.engines.sources.delimited.scan import FastScan
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["MOST_BYTES", "MOST_FILES", "SMALL", "FileBundle", "is_plain"]

SMALL = 2**20
"""A larger file is worth a query of its own."""

MOST_FILES, MOST_BYTES = 128, 16 * 2**20
"""Of a bundle; that it must be read again when a count was wrong should cost little."""


def is_plain(count: ByteCount, dialect: ResolvedDialect) -> bool:
    """Whether the bytes hold no sign of a record that will be rejected.

    Too many fields here and too few there may still make up for each other: then the reader
    rejects what nobody expected, and the bundle is read again file by file.
    """
    between = len(dialect.columns) - 1
    return count.hazard is None and count.valid and count.delimiters == count.records * between


class FileBundle:
    """Files that are written alike, one behind the other."""

    careful = False

    def __init__(self, parts: Sequence[FastScan]) -> None:
        self.parts = parts
        self.ends = tuple(accumulate(part.count.records for part in parts))
        self._view = new_view_name()
        self._connection: DuckDBPyConnection | None = None

    @property
    def input(self) -> InputIdentity:
        return self.parts[0].input

    @property
    def failure(self) -> EtlError | None:
        return None

    def relation(self, connection: DuckDBPyConnection) -> str:
        if self._connection is not connection:
            self._connection = connection
            first = self.parts[0]
            connection.execute(
                csv_view(
                    self._view,
                    [part.path for part in self.parts],
                    first.dialect,
                    fields=first.fields,
                    compression=first.compression,
                    read_all=False,
                )
            )
        return self._view

    def verify(self) -> bool:
        return self._connection is None or reject_query(self._connection, self._view) is None

    def close(self) -> None:
        for part in self.parts:
            part.close()
        if self._connection is not None:
            drop_view(self._connection, self._view)
            self._connection = None
