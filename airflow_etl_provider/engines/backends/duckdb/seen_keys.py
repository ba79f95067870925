"""Unique keys of rows that are on their way already, compared at the end.

Where no two rows have one key, as is usual, this spares the pass over the keys alone. The hashes
are kept in tables, which spill to disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.engines.backends.duckdb.render import sql_of

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession

__all__ = ["SeenKeys"]

HELD = 2**20
"""Hashes of one key that wait in memory for being written together: 8 MiB."""


class SeenKeys:
    """The hashes of `count` keys, as the columns `_key0`, ... of the judged rows."""

    def __init__(self, session: ComputeSession, count: int) -> None:
        # A cursor of its own: the judged rows are being read on the connection.
        self._cursor = session.connection.cursor()
        self._waiting: list[list[Any]] = [[] for _ in range(count)]
        self._held = [0] * count
        for number in range(count):
            self._cursor.execute(f"CREATE OR REPLACE TABLE {_table(number)} (h UBIGINT)")

    def add(self, batch: pa.RecordBatch) -> None:
        for number, waiting in enumerate(self._waiting):
            hashes = batch.column(f"_key{number}").drop_null()
            # A copy: the array itself would keep all columns of its batch alive.
            waiting.append(hashes.to_numpy(zero_copy_only=False).copy())
            self._held[number] += len(hashes)
            if self._held[number] >= HELD:
                self._write(number)

    def any_twice(self) -> bool:
        """Whether two rows may have one key: two hashes are the same."""
        for number in range(len(self._waiting)):
            self._write(number)
            twice = (
                exp.select("h")
                .from_(_table(number))
                .group_by("h")
                .having(exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1)))
                .limit(1)
            )
            if self._cursor.execute(sql_of(twice)).fetchall():
                return True
        return False

    def interrupt(self) -> None:
        """Stop what runs, from any thread."""
        self._cursor.interrupt()

    def _write(self, number: int) -> None:
        import numpy as np
        import pyarrow as pa

        waiting, self._waiting[number], self._held[number] = self._waiting[number], [], 0
        if waiting:
            values: Any = np.ascontiguousarray(np.concatenate(waiting), dtype=np.uint64)
            hashes = pa.Array.from_buffers(pa.uint64(), len(values), [None, pa.py_buffer(values)])
            table = pa.Table.from_arrays([hashes], names=["h"])
            self._cursor.register("etl_seen_keys", table)
            given = exp.select("h").from_("etl_seen_keys")
            self._cursor.execute(sql_of(exp.insert(given, _table(number))))
            self._cursor.unregister("etl_seen_keys")


def _table(number: int) -> str:
    return f"etl_seen_keys_{number}"
