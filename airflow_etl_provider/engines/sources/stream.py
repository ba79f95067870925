"""Our own readers as tables of DuckDB: Arrow batches that begin anew with every reading."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import EtlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

__all__ = ["BatchStream", "drop_stream", "new_view_name"]

_numbers = count(1)


def new_view_name() -> str:
    """A name that needs no quotes and that no other scan of this process has."""
    return f"etl_source_{next(_numbers)}"


class BatchStream:
    """Offers batches to DuckDB through Arrow's C interface.

    :param start: makes the batches; called for every reading.

    An error of ours that ends a reading is kept in `failure`: DuckDB makes a text of it.
    """

    def __init__(self, schema: pa.Schema, start: Callable[[], Iterator[pa.RecordBatch]]) -> None:
        self._schema = schema
        self._start = start
        self.failure: EtlError | None = None

    def __arrow_c_schema__(self) -> Any:
        return self._schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        import pyarrow as pa

        reader = pa.RecordBatchReader.from_batches(self._schema, self._read())
        return reader.__arrow_c_stream__(requested_schema)

    def _read(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._start()
        except EtlError as error:
            self.failure = error
            raise

    def register(self, connection: DuckDBPyConnection, name: str) -> None:
        connection.register(name, self)


def drop_stream(connection: DuckDBPyConnection, name: str) -> None:
    """Remove a view or a registered stream; a connection that is closed has nothing left."""
    import duckdb

    try:
        connection.unregister(name)
        # The name is made by `new_view_name` and needs no quotes.
        connection.execute(f"DROP VIEW IF EXISTS {name}")
    except duckdb.ConnectionException:
        return
