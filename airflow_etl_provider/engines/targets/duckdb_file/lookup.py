"""Keys of a load against tables of the same DuckDB file.

The file is opened for each question and closed again: nobody is kept out while the load goes on.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.engines.backends.duckdb.types import to_arrow
from airflow_etl_provider.engines.targets.duckdb_file.layout import read_columns
from airflow_etl_provider.engines.targets.duckdb_file.store import opened
from airflow_etl_provider.engines.targets.incoming import LOAD_ID
from airflow_etl_provider.engines.targets.key_lookup import check_comparable, parents_in_load
from airflow_etl_provider.engines.targets.table_name import parse_table_name
from airflow_etl_provider.exceptions import NotSupportedYetError, TargetMissingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.plan import KeyLookup
    from airflow_etl_provider.engines.targets.base import WriteSpec
    from airflow_etl_provider.engines.targets.duckdb_file.layout import TableLayout
    from airflow_etl_provider.engines.targets.table_name import TableName

__all__ = ["DuckDbLookups", "OwnTable"]

BATCH_ROWS = 65_536

_KEYS = "_etl_keys"
_STAGED = "_etl_staged_keys"


@dataclass(frozen=True, slots=True)
class OwnTable:
    """How the table is loaded, as far as look-ups treat it apart from others.

    :param replaced_load: rows of this load id are removed before the load is published.
    """

    write: WriteSpec
    replaced_load: str | None = None


@dataclass(frozen=True, slots=True)
class _Looked:
    lookup: KeyLookup
    table: TableName
    own: bool
    in_load: bool


class DuckDbLookups:
    """The look-ups of one load, or of one check of a table.

    :param home: the table that is loaded or checked.
    :param columns: what the keys are made of, with its types.
    :param own: None where nothing is loaded.
    """

    def __init__(
        self,
        path: Path,
        wanted: Sequence[KeyLookup],
        *,
        home: TableName,
        columns: Schema,
        own: OwnTable | None,
        wait_seconds: float,
    ) -> None:
        self._path, self._wait_seconds = path, wait_seconds
        self._home, self._columns, self._own = home, columns, own
        self._connection: DuckDBPyConnection | None = None
        self._empty: dict[int, bool] = {}
        with self._open() as connection:
            self._looked = [self._find(connection, one) for one in wanted]

    def is_empty(self, number: int) -> bool:
        if number not in self._empty:
            with self._open() as connection:
                self._empty[number] = self._is_empty(connection, self._looked[number])
        return self._empty[number]

    def refers_to_load(self, number: int) -> bool:
        return self._looked[number].in_load

    def arrow_schema(self, number: int) -> pa.Schema:
        import pyarrow as pa

        lookup = self._looked[number].lookup
        types = [to_arrow(self._columns[name].type) for name in lookup.columns]
        keys = [pa.field(f"k{at}", of) for at, of in enumerate(types)]
        return pa.schema([pa.field("n", pa.int64()), *keys])

    def failing(self, number: int, keys: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        looked = self._looked[number]
        with self._open() as connection:
            layout = read_columns(connection, looked.table)
            if layout is None:
                raise _missing(looked.lookup, self._path)
            connection.register(_KEYS, keys)
            staged = exp.select(exp.Star()).from_(exp.to_table(_KEYS))
            create = exp.Create(this=exp.to_table(_STAGED), kind="TABLE", expression=staged)
            create.set("properties", exp.Properties(expressions=[exp.TemporaryProperty()]))
            connection.execute(create.sql("duckdb"))
            connection.unregister(_KEYS)
            there: exp.Expression = self._is_there(looked, layout)
            if looked.lookup.wanted == "present":
                there = exp.Not(this=there)
            numbers = exp.select(exp.column("n", table="s")).from_(exp.to_table(_STAGED).as_("s"))
            answers = connection.sql(numbers.where(there).sql("duckdb"))
            yield from answers.to_arrow_reader(BATCH_ROWS)
            connection.execute(f"DROP TABLE {_STAGED}")

    def interrupt(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """Nothing is held open between questions."""

    @contextmanager
    def _open(self) -> Iterator[DuckDBPyConnection]:
        # Where nothing is loaded, the file may be open for reading in this process already.
        reads = self._own is None
        with opened(self._path, wait_seconds=self._wait_seconds, read_only=reads) as connection:
            self._connection = connection
            try:
                yield connection
            finally:
                self._connection = None

    def _find(self, connection: DuckDBPyConnection, lookup: KeyLookup) -> _Looked:
        table = self._home if lookup.table is None else parse_table_name(lookup.table)
        own = self._own is not None and _same(table, self._home)
        layout = read_columns(connection, table)
        if layout is not None:
            self._check(lookup, layout, own=own)
        elif not own:
            raise _missing(lookup, self._path)
        in_load = False
        if own and lookup.wanted == "present" and self._own is not None:
            if self._own.write.mode == "replace_partition":
                raise NotSupportedYetError(
                    f"A rule references {lookup.table}, the table that is loaded, which is not "
                    "supported yet in mode replace_partition.",
                )
            in_load = parents_in_load(lookup, self._columns)
        return _Looked(lookup, table, own, in_load)

    def _check(self, lookup: KeyLookup, layout: TableLayout, *, own: bool) -> bool:
        """Check that keys can be compared; no, where the load adds one of the columns."""
        added = self._own.write.add_columns if self._own is not None and own else ()
        names = {field.name.lower() for field in added}
        where = f"{layout.schema}.{layout.name}"
        for at, name in enumerate(lookup.table_columns):
            column = layout.column(name)
            if column is None and name.lower() in names:
                # No row that is there has a value in it.
                return False
            if column is None:
                there = ", ".join(one.name for one in layout.columns)
                raise TargetMissingError(
                    f"A rule looks at column {name!r} of {where}, which it does not have. It has "
                    f"{there}.",
                )
            given = self._columns[lookup.columns[at]].type
            check_comparable(lookup, at, given=given, there=column.type, where=where)
        return True

    def _is_empty(self, connection: DuckDBPyConnection, looked: _Looked) -> bool:
        if looked.own and self._own is not None and self._own.write.mode == "replace":
            return True
        layout = read_columns(connection, looked.table)
        if layout is None:
            return True
        if not self._check(looked.lookup, layout, own=looked.own):
            return True
        rows = exp.select(exp.Literal.number(1)).from_(_table(layout)).limit(1)
        if (kept := self._kept(looked, layout)) is not None:
            rows = rows.where(kept)
        return not connection.execute(rows.sql("duckdb")).fetchall()

    def _is_there(self, looked: _Looked, layout: TableLayout) -> exp.Exists:
        conditions: list[exp.Expression] = []
        for at, name in enumerate(looked.lookup.table_columns):
            column = layout.column(name)
            there = _column(column.name if column else name, "t")
            conditions.append(exp.EQ(this=there, expression=_column(f"k{at}", "s")))
        if (kept := self._kept(looked, layout)) is not None:
            conditions.append(kept)
        rows = exp.select(exp.Literal.number(1)).from_(_table(layout))
        return exp.Exists(this=rows.where(exp.and_(*conditions)))

    def _kept(self, looked: _Looked, layout: TableLayout) -> exp.Expression | None:
        """Rows of an earlier load that this one replaces are as good as gone."""
        replaced = self._own.replaced_load if self._own is not None else None
        if replaced is None or not looked.own or layout.column(LOAD_ID) is None:
            return None
        return exp.NullSafeNEQ(this=_column(LOAD_ID, "t"), expression=exp.Literal.string(replaced))


def _missing(lookup: KeyLookup, path: Path) -> TargetMissingError:
    return TargetMissingError(
        f"A rule references the table {lookup.table}, which is not in {path}.",
        hint="Write it as table or schema.table.",
    )


def _same(one: TableName, other: TableName) -> bool:
    """DuckDB compares names without case."""
    return (one.schema or "main").lower() == (other.schema or "main").lower() and (
        one.name.lower() == other.name.lower()
    )


def _table(layout: TableLayout) -> exp.Table:
    table = exp.Table(
        this=exp.to_identifier(layout.name, quoted=True),
        db=exp.to_identifier(layout.schema, quoted=True),
    )
    table.set("alias", exp.TableAlias(this=exp.to_identifier("t")))
    return table


def _column(name: str, table: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=table)
