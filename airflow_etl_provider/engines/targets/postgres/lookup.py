"""Keys of a load against tables of the same PostgreSQL database.

The keys go into a temporary table of a connection of their own, which therefore sees what others
committed and nothing of the load. It stays open until the load is published, when the same keys
are looked up once more.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp

from airflow_etl_provider.engines.backends.duckdb.types import to_arrow
from airflow_etl_provider.engines.targets.key_lookup import check_comparable, parents_in_load
from airflow_etl_provider.engines.targets.postgres import statements
from airflow_etl_provider.engines.targets.postgres.catalog import LOAD_COLUMNS, Column
from airflow_etl_provider.engines.targets.postgres.columns import (
    TEXTS,
    as_text,
    find_readable,
    read_columns,
)
from airflow_etl_provider.engines.targets.postgres.types import (
    created_encoding,
    declared_type,
    logical_type,
)
from airflow_etl_provider.engines.targets.postgres.wire import WireFormat
from airflow_etl_provider.engines.targets.table_name import parse_table_name
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    TargetChangedError,
    TargetMissingError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.plan import KeyLookup
    from airflow_etl_provider.engines.targets.base import WriteSpec
    from airflow_etl_provider.engines.targets.postgres.catalog import Place
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient
    from airflow_etl_provider.engines.targets.postgres.columns import ReadableColumn

__all__ = ["OwnTable", "PostgresLookups"]

_NUMBER = Column("n", logical_type("int8", modifier=-1), "bigint", "plain")


@dataclass(frozen=True, slots=True)
class OwnTable:
    """The table that is loaded, as far as look-ups treat it apart from others.

    :param replaced_load: rows of this load id are removed before the load is published.
    """

    place: Place
    write: WriteSpec
    replaced_load: str | None = None


@dataclass(slots=True)
class _Looked:
    """One look-up, settled; `columns` is None while there is no such table, or no such column."""

    lookup: KeyLookup
    schema: str
    table: str
    own: bool
    columns: dict[str, ReadableColumn] | None
    in_load: bool = False
    staged: str | None = None
    empty: bool | None = None


class PostgresLookups:
    """The look-ups of one load, or of one check of a table.

    :param client: a connection that is ours alone; the transaction begins here.
    :param columns: what the keys are made of, with the types of the table that is loaded.
    :param own: None where nothing is loaded.
    :param home: the schema where a table without one is looked for behind the search path.
    """

    def __init__(
        self,
        client: PostgresClient,
        wanted: Sequence[KeyLookup],
        *,
        columns: Schema,
        own: OwnTable | None,
        home: Place,
    ) -> None:
        self._client, self._columns, self._own, self._home = client, columns, own, home
        client.start()
        # The keys wait here for the load, however long it takes.
        client.query(
            "SELECT set_config('idle_in_transaction_session_timeout', '0', true)",
            doing="to start on",
        )
        self._looked = [self._find(one) for one in wanted]

    def is_empty(self, number: int) -> bool:
        looked = self._looked[number]
        if looked.empty is None:
            looked.empty = self._is_empty(looked)
        return looked.empty

    def refers_to_load(self, number: int) -> bool:
        return self._looked[number].in_load

    def arrow_schema(self, number: int) -> pa.Schema:
        fields = [pa.field(c.name, to_arrow(c.type)) for c in self._staged_columns(number)]
        return pa.schema(fields)

    def failing(self, number: int, keys: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        looked = self._looked[number]
        staged = looked.staged = self._stage(number, keys)
        there = self._is_there(looked, "s")
        if looked.lookup.wanted == "present":
            yield from self._client.stream(
                self._numbers(staged).where(exp.Not(this=there)).sql("postgres"), doing="to look at"
            )
            self._client.execute(
                statements.drop_table(self._schema, staged), doing="the keys looked up in"
            )
            return
        found = self._create([_NUMBER])
        self._client.execute(
            exp.insert(self._numbers(staged).where(there), self._table(found)).sql("postgres"),
            doing="to look at",
        )
        yield from self._client.stream(self._numbers(found).sql("postgres"), doing="to look at")
        # What is found now is rejected; only what comes later is news when the load is published.
        self._client.execute(
            exp.delete(self._table(staged))
            .where(exp.In(this=_column("n", None), query=self._numbers(found).subquery()))
            .sql("postgres"),
            doing="to look at",
        )
        self._client.execute(
            statements.drop_table(self._schema, found), doing="the keys looked up in"
        )

    def check_again(self) -> None:
        """Look the keys that had to be absent up once more, before the load is committed.

        :raises TargetChangedError: others brought one of them meanwhile.
        """
        absent = self._own.write.absent if self._own is not None else ()
        for looked in self._looked:
            lookup = looked.lookup
            if lookup.wanted != "absent" or lookup.columns not in absent:
                continue
            if looked.columns is None:
                # This load makes the table or the column; others may have done so meanwhile.
                looked.columns = self._read_columns(looked.lookup, looked.schema, looked.table)
            if looked.columns is None:
                continue
            if looked.staged is None:
                changed = self._has_rows(looked)
            else:
                changed = self._has_news(looked)
            if changed:
                raise TargetChangedError(
                    f"Others wrote rows into {self._client.where} while this load ran, with values "
                    f"of {', '.join(lookup.columns)} that the rule `unique` found absent before. "
                    "Nothing was published.",
                    hint="Run again: the rows that they brought are seen then.",
                )

    def interrupt(self) -> None:
        self._client.cancel()

    def close(self) -> None:
        self._client.close()

    def _is_empty(self, looked: _Looked) -> bool:
        if looked.own and self._own is not None and self._own.write.mode == "replace":
            return True
        if looked.columns is None:
            # It may have come since, by a load that this one waited for.
            looked.columns = self._read_columns(looked.lookup, looked.schema, looked.table)
        return looked.columns is None or not self._has_rows(looked)

    def _find(self, lookup: KeyLookup) -> _Looked:
        if lookup.table is None:
            schema, table = self._home.schema, self._home.table
        else:
            schema, table = self._resolve(lookup.table)
        own = self._own is not None and (schema, table) == (
            self._own.place.schema,
            self._own.place.table,
        )
        columns = self._read_columns(lookup, schema, table)
        if columns is None and not own and lookup.table is not None:
            raise TargetMissingError(
                f"A rule references the table {lookup.table}, which is not in the database of "
                f"{self._client.where}.",
                hint="Write it as schema.table, in the letter case it has.",
            )
        looked = _Looked(lookup, schema, table, own, columns)
        if own and lookup.wanted == "present" and self._own is not None:
            if self._own.write.mode == "replace_partition":
                raise NotSupportedYetError(
                    f"A rule references {lookup.table}, the table that is loaded, which is not "
                    "supported yet in mode replace_partition.",
                )
            looked.in_load = parents_in_load(lookup, self._columns)
        return looked

    def _resolve(self, written: str) -> tuple[str, str]:
        name = parse_table_name(written)
        return find_readable(self._client, name, home=self._home.schema), name.name

    def _read_columns(
        self, lookup: KeyLookup, schema: str, table: str
    ) -> dict[str, ReadableColumn] | None:
        found = read_columns(self._client, schema, table)
        if not found:
            return None
        where = f"{schema}.{table}"
        for at, column in enumerate(lookup.table_columns):
            if column not in found and self._adds(schema, table, column):
                # No row that is there has a value in it.
                return None
            if column not in found:
                raise TargetMissingError(
                    f"A rule looks at column {column!r} of {where}, which it does not have. It has "
                    f"{', '.join(found)}.",
                )
            given = self._columns[lookup.columns[at]].type
            check_comparable(lookup, at, given=given, there=found[column].type, where=where)
        return found

    def _adds(self, schema: str, table: str, column: str) -> bool:
        """Whether the load adds the column, to its own table."""
        own = self._own
        return (
            own is not None
            and (schema, table) == (own.place.schema, own.place.table)
            and any(column == field.name for field in own.write.add_columns)
        )

    def _staged_columns(self, number: int) -> list[Column]:
        looked = self._looked[number]
        columns = [_NUMBER]
        widened = {field.name for field in self._own.write.widen_columns} if self._own else set()
        for at, name in enumerate(looked.lookup.columns):
            of = self._columns[name].type
            declared = declared_type(of, column=name)
            there = (looked.columns or {}).get(looked.lookup.table_columns[at])
            if there is not None and of.kind == "string":
                # Without a length, which would cut what is longer, or refuse it.
                declared = there.plain if there.base in TEXTS else "text"
            elif there is not None and looked.lookup.table is None and name not in widened:
                declared = there.declared
            columns.append(Column(f"k{at}", of, declared, created_encoding(of)))
        return columns

    def _stage(self, number: int, keys: pa.RecordBatchReader) -> str:
        columns = self._staged_columns(number)
        table = self._create(columns)
        wire = WireFormat(
            schema=self.arrow_schema(number), encodings=tuple(c.encoding for c in columns)
        )
        stream = pa.RecordBatchReader.from_batches(wire.wire_schema, wire.encode(iter(keys)))
        self._client.copy(table, stream, schema=self._schema, columns=[c.name for c in columns])
        # Nothing else would tell the planner how many there are.
        analyze = statements.on_table("ANALYZE table_placeholder", schema=self._schema, table=table)
        self._client.execute(analyze, doing="the keys of")
        return table

    def _create(self, columns: Sequence[Column]) -> str:
        name = f"_etl_keys_{secrets.token_hex(8)}"
        self._client.execute(
            statements.create_staging(
                self._schema,
                name,
                columns,
                not_null=(),
                temporary=self._home.may_use_temporary,
            ),
            doing="a table of keys for",
        )
        return name

    @property
    def _schema(self) -> str:
        return "pg_temp" if self._home.may_use_temporary else self._home.schema

    def _table(self, name: str, *, alias: str | None = None) -> exp.Table:
        return _table(self._schema, name, alias=alias)

    def _numbers(self, table: str) -> exp.Select:
        return exp.select(exp.column("n", table="s")).from_(self._table(table, alias="s"))

    def _has_news(self, looked: _Looked) -> bool:
        # Counted, not asked for the first one: PostgreSQL would plan for finding one soon.
        news = (
            exp.select(exp.Count(this=exp.Star()))
            .from_(self._table(looked.staged or "", alias="s"))
            .where(self._is_there(looked, "s"))
        )
        return bool(self._client.query(news.sql("postgres"), doing="to look at")[0][0])

    def _has_rows(self, looked: _Looked) -> bool:
        rows = exp.select(exp.Literal.number(1)).from_(
            _table(looked.schema, looked.table, alias="t")
        )
        if (kept := self._kept(looked)) is not None:
            rows = rows.where(kept)
        sql = exp.select(exp.Exists(this=rows)).sql("postgres")
        return bool(self._client.query(sql, doing="to look at")[0][0])

    def _is_there(self, looked: _Looked, keys: str) -> exp.Exists:
        conditions: list[exp.Expression] = []
        for at, name in enumerate(looked.lookup.table_columns):
            column: exp.Expr = _column(name, "t")
            there = (looked.columns or {})[name]
            if there.type.kind == "string" and there.base not in TEXTS:
                column = as_text(there, column)
            conditions.append(exp.EQ(this=column, expression=_column(f"k{at}", keys)))
        if (kept := self._kept(looked)) is not None:
            conditions.append(kept)
        rows = exp.select(exp.Literal.number(1)).from_(
            _table(looked.schema, looked.table, alias="t")
        )
        return exp.Exists(this=rows.where(exp.and_(*conditions)))

    def _kept(self, looked: _Looked) -> exp.Expression | None:
        """Rows of an earlier load that this one replaces are as good as gone."""
        replaced = self._own.replaced_load if self._own is not None else None
        load_id = next(iter(LOAD_COLUMNS))
        if replaced is None or not looked.own or load_id not in (looked.columns or {}):
            return None
        return exp.NullSafeNEQ(this=_column(load_id, "t"), expression=exp.Literal.string(replaced))


def _table(schema: str, name: str, *, alias: str | None = None) -> exp.Table:
    table = exp.Table(
        this=exp.to_identifier(name, quoted=True), db=exp.to_identifier(schema, quoted=True)
    )
    if alias is not None:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    return table


def _column(name: str, table: str | None) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=table)
