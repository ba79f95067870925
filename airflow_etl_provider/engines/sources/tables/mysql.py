"""A table or view of MySQL or MariaDB as a source: streamed out of one read-only snapshot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import MAX_PRECISION, LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import to_arrow_schema
from airflow_etl_provider.engines.sources.tables.kept import KeptRows
from airflow_etl_provider.engines.sources.tables.mysql_client import MySqlClient, mysql_server
from airflow_etl_provider.engines.sources.tables.table import TableSource
from airflow_etl_provider.engines.targets.table_name import parse_table_name
from airflow_etl_provider.exceptions import SourceError, SourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.engines.sources.tables.conditions import Condition

__all__ = ["MySqlTableSource"]

BATCH_ROWS = 10_000

_PLAIN = {
    "tinyint": "int16",
    "smallint": "int16",
    "mediumint": "int32",
    "int": "int32",
    "bigint": "int64",
    "year": "int16",
    "float": "float32",
    "double": "float64",
    "date": "date",
    "datetime": "timestamp",
    "timestamp": "timestamptz",
    "json": "json",
    "binary": "binary",
    "varbinary": "binary",
    "tinyblob": "binary",
    "blob": "binary",
    "mediumblob": "binary",
    "longblob": "binary",
}
_UNSIGNED = {"tinyint": "int16", "smallint": "int32", "mediumint": "int32", "int": "int64"}
_DATES = ("date", "timestamp", "timestamptz")

# Columns in order, and their place in the primary key.
_COLUMNS = """
SELECT c.COLUMN_NAME, LOWER(c.DATA_TYPE), LOWER(c.COLUMN_TYPE), c.NUMERIC_PRECISION,
       c.NUMERIC_SCALE, k.ORDINAL_POSITION, c.IS_NULLABLE = 'NO', NULLIF(c.COLUMN_COMMENT, ''),
       NULLIF(t.TABLE_COMMENT, '')
FROM information_schema.COLUMNS c
JOIN information_schema.TABLES t
  ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME
LEFT JOIN information_schema.KEY_COLUMN_USAGE k
  ON k.TABLE_SCHEMA = c.TABLE_SCHEMA AND k.TABLE_NAME = c.TABLE_NAME
 AND k.COLUMN_NAME = c.COLUMN_NAME AND k.CONSTRAINT_NAME = 'PRIMARY'
WHERE c.TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND c.TABLE_NAME = %s
ORDER BY c.ORDINAL_POSITION
"""


_ROWS = """
SELECT TABLE_ROWS FROM information_schema.TABLES
WHERE TABLE_SCHEMA = COALESCE(%s, DATABASE()) AND TABLE_NAME = %s
"""

_WORTH_IT = 5
"""Times the wanted rows: reading a table that is not larger costs less than it is worth."""

_SPARE = 1.3
"""How many times the wanted rows are asked for: chance gives fewer now and then."""


@dataclass(frozen=True, slots=True)
class _Share:
    """Rows that are drawn each by itself.

    The numbers that are drawn are the same ones each time, so that as many rows are counted as are
    read, whatever the order in which the server goes through them.
    """

    share: float

    def condition(self) -> exp.Expr:
        drawn = exp.Anonymous(this="RAND", expressions=[exp.Literal.number(1)])
        return exp.LT(this=drawn, expression=exp.Literal.number(f"{self.share:.9f}"))

    def total(self, rows: int) -> int:
        """Estimate the rows of the whole table by those that were drawn."""
        return round(rows / self.share)

    def independent(self, rows: int) -> int:
        """All of them."""
        return rows


@dataclass(frozen=True, slots=True)
class _Column:
    """One column as the database declares it."""

    name: str
    kind: str
    declared: str
    type: LogicalType
    key: int | None


class MySqlTableSource(TableSource):
    """Rows wait in a file from the first reading on, where they are read more than once.

    :param scratch: where that file is made; the system's temporary folder when absent.
    """

    def __init__(self, connection: Connection, *, table: str, scratch: Path | None = None) -> None:
        super().__init__()
        self._table = parse_table_name(table)
        self._share: _Share | None = None
        self._kept = KeptRows(scratch)
        self._count: int | None = None
        self._client = MySqlClient(connection)
        try:
            found = self._client.query(
                _COLUMNS, [self._table.schema, self._table.name], doing="to look up columns at"
            )
            if not found:
                raise SourceNotFoundError(
                    f"There is no table or view {self._table} in {mysql_server(connection)}.",
                    hint="Write the name in the letter case it has, with its database.",
                )
        except BaseException:
            self._client.close()
            raise
        columns = [_column(row) for row in found]
        self._columns = {column.name: column for column in columns}
        keyed = sorted((c.key, c.name) for c in columns if c.key is not None)
        self.key = tuple(name for _, name in keyed)
        self.required = frozenset(str(row[0]) for row in found if row[6])
        self.comments = {str(row[0]): str(row[7]) for row in found if row[7] is not None}
        # Of a view the server says no more than that.
        said = found[0][8]
        self.comment = None if said in (None, "VIEW") else str(said)
        self.name = f"{mysql_server(connection)}#{self._table}"
        self.schema = Schema(tuple(Field(column.name, column.type) for column in columns))

    def count(self) -> int:
        if self._count is None:
            sql = self._from(exp.select(exp.Count(this=exp.Star()))).sql("mysql")
            self._count = int(self._client.query(sql, doing="to count rows at")[0][0])
        return self._count

    def digest(self) -> str:
        # QUOTE writes NULL as no text can be written, and ends each text where it ends.
        quoted: list[exp.Expr] = [
            exp.Anonymous(this="QUOTE", expressions=[exp.column(_name(field.name))])
            for field in self.schema
        ]
        row = exp.Anonymous(this="CONCAT_WS", expressions=[exp.Literal.string(","), *quoted])
        hashed = exp.Anonymous(this="MD5", expressions=[row])
        start = exp.Anonymous(this="LEFT", expressions=[hashed, exp.Literal.number(12)])
        number = exp.Anonymous(
            this="CONV", expressions=[start, exp.Literal.number(16), exp.Literal.number(10)]
        )
        exact = exp.Cast(this=number, to=exp.DataType.build("DECIMAL(20, 0)", dialect="mysql"))
        # A sum and no xor: two equal rows would be none.
        sql = self._from(exp.select(exp.Sum(this=exact))).sql("mysql")
        ((found,),) = self._client.query(sql, doing="to compare rows at")
        return str(found or 0)

    def arrow_schema(self) -> pa.Schema:
        return to_arrow_schema(self.schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        # Counted before anything is read, in the same snapshot.
        self.count()
        if not self.rereads:
            yield from self._read()
            return
        yield from self._kept.again(self._read, self.arrow_schema(), name=self.name)

    def interrupt(self) -> None:
        self._client.cancel()

    def close(self) -> None:
        self._client.close()
        self._kept.close()

    def sample(self, rows: int) -> _Share | None:
        """Have the server draw rows from now on, if there are many more than are wanted.

        It reads all of them for that, and sends those that it draws.
        """
        ((estimate,),) = self._client.query(
            _ROWS, [self._table.schema, self._table.name], doing="to look up the size of"
        )
        if estimate is not None and estimate > _WORTH_IT * rows:
            self._share = _Share(min(_SPARE * rows / float(estimate), 1.0))
        return self._share

    def _read(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = self.arrow_schema()
        query = self._from(exp.select(*[self._value(field) for field in self.schema]))
        for rows in self._client.stream(query.sql("mysql"), rows=BATCH_ROWS, doing="to read from"):
            columns = zip(*rows, strict=True)
            batch = pa.RecordBatch.from_arrays(
                [self._array(list(c), f) for c, f in zip(columns, schema, strict=True)],
                schema=schema,
            )
            self.bytes_read += batch.nbytes
            yield batch

    def _array(self, values: list[Any], field: pa.Field) -> pa.Array:
        import pyarrow as pa

        try:
            return pa.array(values, type=field.type)
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise SourceError(
                f"Column {field.name!r} of {self.name} holds a value that its type "
                f"{self.schema[field.name].type} has not ({type(error).__name__}).",
                hint="Dates such as 0000-00-00 are none: make NULL or text of them in a view.",
            ) from None

    def _from(self, query: exp.Select) -> exp.Select:
        schema = self._table.schema
        table = exp.Table(
            this=_name(self._table.name), db=_name(schema) if schema is not None else None
        )
        conditions = [_condition(one) for one in self.conditions if _is_decided(one)]
        if self._share is not None:
            conditions.append(self._share.condition())
        query = query.from_(table)
        return query.where(exp.and_(*conditions)) if conditions else query

    def _value(self, field: Field) -> exp.Expr:
        """The value in the type that it is taken for; what has no type of ours is text."""
        column = self._columns[field.name]
        value: exp.Expr = exp.column(_name(field.name))
        if column.kind == "bit":
            value = exp.Add(this=value, expression=exp.Literal.number(0))
        elif field.type.kind == "string" and column.kind not in _TEXTS:
            value = exp.Cast(this=value, to=exp.DataType.build("CHAR", dialect="mysql"))
        return exp.alias_(value, field.name, quoted=True)


_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"})


def _column(row: tuple[Any, ...]) -> _Column:
    name, kind, declared, precision, scale, place = row[:6]
    return _Column(
        str(name),
        str(kind),
        str(declared),
        _type(str(kind), str(declared), precision, scale),
        None if place is None else int(place),
    )


def _type(kind: str, declared: str, precision: int | None, scale: int | None) -> LogicalType:
    """Give the logical type of a declaration."""
    if "unsigned" in declared and kind in _UNSIGNED:
        return LogicalType(_UNSIGNED[kind])  # type: ignore[arg-type]
    if "unsigned" in declared and kind == "bigint":
        return LogicalType("decimal", precision=20, scale=0)
    if kind == "decimal" and precision is not None and int(precision) <= MAX_PRECISION:
        return LogicalType("decimal", precision=int(precision), scale=int(scale or 0))
    if kind == "bit":
        # Sixty-four of them are the widest.
        return LogicalType("decimal", precision=20, scale=0)
    return LogicalType(_PLAIN.get(kind, "string"))  # type: ignore[arg-type]


def _is_decided(condition: Condition) -> bool:
    """Whether the database orders such values as our engine does, and reads the constant so."""
    return condition.is_number or condition.type.kind in ("date", "timestamp")


def _condition(condition: Condition) -> exp.Expr:
    constant: exp.Expr = exp.Literal.number(condition.value)
    if not condition.is_number:
        constant = exp.Literal.string(condition.value)
    return condition.over(exp.column(_name(condition.column)), constant)


def _name(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)
