"""One named input, copied into a table of the compute session, where a select can reach it.

Each of its files is read by its own reader and keeps the account that the reader keeps. Fields
with a declared type are cast strictly on the way; a record with a value that does not convert is no
row of the input, and a reject instead.
"""

from __future__ import annotations

import heapq
import json
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.engines.backends.duckdb.casts import strict_cast
from airflow_etl_provider.engines.backends.duckdb.checks import any_of
from airflow_etl_provider.engines.backends.duckdb.trees import call, choose, is_null, not_null, text
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb
from airflow_etl_provider.engines.relational.binding import input_view, sql_of
from airflow_etl_provider.engines.relational.failures import select_error
from airflow_etl_provider.exceptions import AccountingError, EtlError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.sources.base import Account, Scan, Source

__all__ = ["Staging", "TakenInput", "shown_name", "typed_schema"]


@dataclass(frozen=True, slots=True)
class TakenInput:
    """The account of one file of a named input, once the select has its rows.

    :param name: the input's name in the select.
    :param input: name and file, as people see it.
    :param records: what the file holds, by the reader's own count.
    :param selected: the rows that were handed to the select.
    :param rejects: the others, with their reasons; to be read before the next input is taken.
    """

    name: str
    input: str
    records: int
    selected: int
    bytes_read: int
    notes: tuple[str, ...]
    rejects: Iterator[Reject]


def shown_name(name: str, input: InputIdentity) -> str:
    """Name a file of an input: `orders:exports/orders_1.csv`."""
    return f"{name}:{input.name}"


def typed_schema(name: str, given: Schema, fields: Mapping[str, LogicalType]) -> Schema:
    """The schema of an input with the declared types in it.

    :raises SpecificationError: a field that the source has not, or a type that it can't become.
    """
    for field, of in fields.items():
        if field not in given:
            raise SpecificationError(
                f"inputs.{name}.fields names {field!r}, which the input does not have. Its fields: "
                f"{', '.join(given.names[:30])}."
            )
        try:
            strict_cast(exp.column("c"), given[field].type, of)
        except SpecificationError as error:
            raise type(error)(f"inputs.{name}.fields.{field}: {error}") from error
    return Schema(tuple(Field(field.name, fields.get(field.name, field.type)) for field in given))


class Staging:
    """The table of one input on a compute session's connection.

    :param key: what the select calls it; the view of this name shows what was taken.
    """

    def __init__(
        self,
        connection: DuckDBPyConnection,
        *,
        key: str,
        name: str,
        source: Source,
        schema: Schema,
        cancelled: Callable[[], bool],
    ) -> None:
        self._connection = connection
        self._key = key
        self._table = f"etl_taken_{key}"
        self._name = name
        self._source = source
        self._schema = schema
        self._cancelled = cancelled
        self._typed = tuple(
            at
            for at, (given, wanted) in enumerate(zip(source.schema, schema, strict=True))
            if given.type != wanted.type
        )
        self._make()

    def take(self) -> Iterator[TakenInput]:
        """Read file after file; the account of each comes when its rows are there."""
        for number, identity in enumerate(self._source.inputs):
            scan = self._source.scan(identity)
            try:
                account = self._read(scan, number)
                if account is None:
                    scan.close()
                    scan = self._source.scan(identity, careful=True)
                    account = self._read(scan, number)
                if account is None:
                    raise AccountingError(
                        f"The records of {shown_name(self._name, identity)} do not balance. "
                        "Nothing was published.",
                        hint="This is a fault of the reader, not of the data: please report it.",
                    )
                failed, start = self._failed(number)
                yield TakenInput(
                    name=self._name,
                    input=shown_name(self._name, identity),
                    records=account.records,
                    selected=account.scanned - failed,
                    bytes_read=account.bytes_read,
                    notes=tuple(f"{self._name}: {note}" for note in account.notes),
                    rejects=self._rejects(scan, number, start),
                )
            finally:
                scan.close()

    def drop(self) -> None:
        """Free the room that the input takes."""
        self._connection.execute(f"DROP VIEW IF EXISTS {self._key}")
        self._connection.execute(f"DROP TABLE IF EXISTS {self._table}")

    def _make(self) -> None:
        columns = [
            exp.ColumnDef(this=exp.to_identifier(f"c{at}"), kind=to_duckdb(field.type))
            for at, field in enumerate(self._schema)
        ]
        # Which file a row is of, which casts failed, and the record as it was where one did.
        for name, of in (("_file", "INTEGER"), ("_failed", "VARCHAR"), ("_record", "VARCHAR")):
            kind = exp.DataType.build(of, dialect="duckdb")
            columns.append(exp.ColumnDef(this=exp.to_identifier(name), kind=kind))
        table = exp.Schema(this=exp.to_table(self._table), expressions=columns)
        create = exp.Create(this=table, kind="TABLE", replace=True)
        self._connection.execute(sql_of(create))
        good = is_null(exp.column("_failed"))
        self._connection.execute(input_view(self._key, self._table, self._schema, only=good))

    def _read(self, scan: Scan, number: int) -> Account | None:
        """Copy one file; None, and nothing copied, where its records do not balance."""
        import duckdb
        import pyarrow as pa

        connection = self._connection
        insert = exp.Insert(
            this=exp.to_table(self._table),
            expression=self._query(scan.relation(connection), number),
        )
        connection.execute("BEGIN")
        kept = False
        try:
            ((copied,),) = connection.execute(sql_of(insert)).fetchall()
            account = scan.account(rows_seen=copied)
            if account.balanced:
                connection.execute("COMMIT")
                kept = True
            return account if kept else None
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            where = f"Reading {shown_name(self._name, scan.input)}"
            known = select_error(error, doing=where, cancelled=self._cancelled())
            if isinstance(known, EtlError):
                raise known from error
            if scan.failure is not None:
                raise scan.failure from None
            if not scan.careful:
                return None
            raise select_error(error, doing=where, cancelled=False, always=True) from error
        finally:
            if not kept:
                # What broke the reading may have ended the transaction, too.
                with suppress(duckdb.Error):
                    connection.execute("ROLLBACK")

    def _query(self, relation: str, number: int) -> exp.Select:
        """The rows of a view in the declared types, each saying which casts failed."""
        source = self._source.schema
        given = exp.select(
            *[
                exp.column(exp.to_identifier(f.name, quoted=True)).as_(f"s{i}")
                for i, f in enumerate(source)
            ]
        ).from_(exp.to_table(relation))
        casts = [
            strict_cast(exp.column(f"s{at}"), source.fields[at].type, self._schema.fields[at].type)
            for at in self._typed
        ]
        cast = exp.select(
            exp.Star(), *[of.as_(f"t{at}") for at, of in zip(self._typed, casts, strict=True)]
        ).from_(given.subquery("given"))
        failed: list[exp.Expr] = [
            exp.And(this=not_null(exp.column(f"s{at}")), expression=is_null(exp.column(f"t{at}")))
            for at in self._typed
        ]
        words = [
            choose((test, text(f"{at},")), otherwise=text(""))
            for at, test in zip(self._typed, failed, strict=True)
        ]
        nothing = exp.Cast(this=exp.Null(), to=exp.DataType.build("VARCHAR", dialect="duckdb"))
        any_failed = any_of(failed)
        columns = [
            exp.column(f"t{at}" if at in self._typed else f"s{at}") for at in range(len(source))
        ]
        return exp.select(
            *columns,
            exp.Literal.number(number).as_("_file"),
            (choose((any_failed, call("concat", *words))) if words else nothing).as_("_failed"),
            (choose((any_failed, self._record())) if words else nothing.copy()).as_("_record"),
        ).from_(cast.subquery("cast"))

    def _record(self) -> exp.Expr:
        pairs: list[exp.Expr] = []
        for at, field in enumerate(self._source.schema):
            pairs += [text(field.name), exp.column(f"s{at}")]
        varchar = exp.DataType.build("VARCHAR", dialect="duckdb")
        return exp.Cast(this=call("json_object", *pairs), to=varchar)

    def _failed(self, number: int) -> tuple[int, int]:
        """How many rows of a file did not convert, and where its rows begin in the table."""
        ((failed, start),) = self._connection.execute(
            f"SELECT count(_failed), min(rowid) FROM {self._table} WHERE _file = ?",  # noqa: S608
            [number],
        ).fetchall()
        return failed, start or 0

    def _rejects(self, scan: Scan, number: int, start: int) -> Iterator[Reject]:
        for reject in heapq.merge(
            self._not_converted(scan, number, start), scan.rejects(), key=lambda r: r.record
        ):
            yield replace(reject, input=shown_name(self._name, scan.input))

    def _not_converted(self, scan: Scan, number: int, start: int) -> Iterator[Reject]:
        if not self._typed:
            return
        cursor = self._connection.cursor()
        try:
            cursor.execute(
                f"SELECT rowid - ?, _failed, _record FROM {self._table} "  # noqa: S608
                "WHERE _file = ? AND _failed IS NOT NULL ORDER BY rowid",
                [start, number],
            )
            while rows := cursor.fetchmany(5_000):
                numbers = scan.record_numbers([row for row, _, _ in rows])
                for (_, failed, record), at in zip(rows, numbers, strict=True):
                    fields: dict[str, Any] = json.loads(record)
                    yield Reject(
                        input=scan.input.name,
                        record=at,
                        raw=scan.raw(fields),
                        reasons=tuple(self._reason(int(n)) for n in failed.split(",") if n),
                        fields=fields,
                    )
        finally:
            cursor.close()

    def _reason(self, at: int) -> Reason:
        field = self._schema.fields[at]
        return Reason(
            code="not_converted",
            column=field.name,
            step="fields",
            message=f"is no {field.type}, which inputs.{self._name}.fields declares",
        )
