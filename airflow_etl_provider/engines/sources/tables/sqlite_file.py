"""A table or view in a SQLite file as a source: read-only, in one transaction."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import to_arrow_schema
from airflow_etl_provider.engines.sources.tables.kept import KeptRows
from airflow_etl_provider.engines.sources.tables.query import as_table, name_of
from airflow_etl_provider.engines.sources.tables.table import TableSource
from airflow_etl_provider.engines.targets.table_name import TableName, parse_table_name
from airflow_etl_provider.exceptions import SourceError, SourceNotFoundError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from airflow_etl_provider.engines.sources.tables.conditions import Condition

__all__ = ["SqliteTableSource"]

BATCH_ROWS = 10_000

_STORED = ("integer", "real", "text", "blob")
_EXACT = 1 << 53
"""Beyond it, a whole number is not one of the double-precision numbers beside it."""


class _Digest:
    """An aggregate that does not depend on the order: the sum of the rows' hashes."""

    def __init__(self) -> None:
        self._sum = 0

    def step(self, *values: object) -> None:
        hashed = hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=16)
        self._sum = (self._sum + int.from_bytes(hashed.digest(), "big")) % (1 << 128)

    def finalize(self) -> str:
        return f"{self._sum:032x}"


@dataclass(frozen=True, slots=True)
class _Held:
    """What a column really holds, whatever it was declared as."""

    declared: str
    stored: frozenset[str]
    least: int | None
    most: int | None

    @property
    def type(self) -> LogicalType:
        if self.stored == {"integer"}:
            truth = self.declared.startswith("BOOL") and (self.least, self.most) in (
                (0, 0), (0, 1), (1, 1),
            )  # fmt: skip
            return LogicalType("bool" if truth else "int64")
        if self.stored == {"real"}:
            return LogicalType("float64")
        if self.stored == {"integer", "real"}:
            exact = (self.least or 0) >= -_EXACT and (self.most or 0) <= _EXACT
            return LogicalType("float64" if exact else "string")
        if "blob" in self.stored:
            return LogicalType("binary")
        if not self.stored:
            return LogicalType(_affinity(self.declared))
        return LogicalType("string")


class SqliteTableSource(TableSource):
    """The type of a column is that of its values: SQLite lets every column hold anything.

    The file is open from the beginning to `close`; in WAL mode others may write it meanwhile,
    otherwise they wait.
    """

    def __init__(
        self,
        path: Path,
        *,
        table: str = "",
        query: exp.Query | None = None,
        scratch: Path | None = None,
    ) -> None:
        super().__init__()
        self._path = path.expanduser().resolve()
        written = parse_table_name(table) if query is None else TableName(name_of(query))
        self._query, self._kept = query, KeptRows(scratch)
        if not self._path.exists():
            raise SourceNotFoundError(f"There is no file {self._path}.")
        self._table = written.name
        self.name = f"sqlite:///{self._path}#{written}"
        self._count: int | None = None
        self._connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=60,
        )
        try:
            with self._errors("opened"):
                self._connection.execute("BEGIN")
                self._connection.create_aggregate("etl_digest", -1, _Digest)  # type: ignore[arg-type]
                if query is None:
                    columns = self._columns(written.schema)
                else:
                    columns = self._columns_of_query()
                held = self._held(columns)
        except BaseException:
            self._connection.close()
            raise
        self.key = tuple(name for name, _, place in _by_key(columns) if place)
        self.schema = Schema(
            tuple(Field(name, held[at].type) for at, (name, _, _) in enumerate(columns))
        )

    def count(self) -> int:
        if self._count is None:
            ((found,),) = self._rows(exp.select(exp.Count(this=exp.Star())))
            self._count = int(found)
        return self._count

    def digest(self) -> str:
        columns: list[exp.Expr] = [exp.column(_name(field.name)) for field in self.schema]
        ((found,),) = self._rows(exp.select(exp.Anonymous(this="etl_digest", expressions=columns)))
        return str(found)

    def arrow_schema(self) -> pa.Schema:
        return to_arrow_schema(self.schema)

    def batches(self) -> Iterator[pa.RecordBatch]:
        self.count()
        if self._query is None or not self.rereads:
            # The rows of a table come in the same order each time.
            yield from self._read()
            return
        yield from self._kept.again(self._read, self.arrow_schema(), name=self.name)

    def _read(self) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        schema = self.arrow_schema()
        values = [_value(field) for field in self.schema]
        with self._errors("read"):
            cursor = self._connection.execute(self._from(exp.select(*values)).sql("sqlite"))
        while True:
            with self._errors("read"):
                rows = cursor.fetchmany(BATCH_ROWS)
            if not rows:
                return
            columns = [
                pa.array(
                    [None if v is None else bool(v) for v in column]
                    if pa.types.is_boolean(field.type)
                    else column,
                    type=field.type,
                )
                for column, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            batch = pa.RecordBatch.from_arrays(columns, schema=schema)
            self.bytes_read += batch.nbytes
            yield batch

    def interrupt(self) -> None:
        self._connection.interrupt()

    def close(self) -> None:
        self._connection.close()
        self._kept.close()

    def _columns(self, schema: str | None) -> list[tuple[str, str, int]]:
        """Give name, declared type and place in the primary key of each column.

        :raises SourceNotFoundError: there is no such table.
        """
        rows = self._connection.execute(
            "SELECT name, upper(type), pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 "
            "ORDER BY cid",
            [self._table],
        ).fetchall()
        if not rows or schema not in (None, "main"):
            raise SourceNotFoundError(
                f"There is no table or view {self.name.partition('#')[2]} in {self._path}.",
                hint="A SQLite file has one schema, main.",
            )
        return [(str(name), str(declared or ""), int(place)) for name, declared, place in rows]

    def _columns_of_query(self) -> list[tuple[str, str, int]]:
        """The same of a query, which declares nothing."""
        none_of_it = self._from(exp.select(exp.Star())).limit(0).sql("sqlite")
        names = [str(column[0]) for column in self._connection.execute(none_of_it).description]
        if len(set(names)) < len(names):
            raise SpecificationError(
                "source.query has two columns of one name.", hint="Name each column with AS."
            )
        return [(name, "", 0) for name in names]

    def _held(self, columns: Sequence[tuple[str, str, int]]) -> list[_Held]:
        """Look at every value once; in parts, since a select has 2,000 columns at most."""
        found: list[_Held] = []
        for start in range(0, len(columns), 300):
            part = columns[start : start + 300]
            asked = [one for name, _, _ in part for one in _facts(name)]
            (row,) = self._rows(exp.select(*asked))
            for at, (_, declared, _) in enumerate(part):
                *stored, least, most = row[at * 6 : at * 6 + 6]
                kinds = frozenset(kind for kind, has in zip(_STORED, stored, strict=True) if has)
                found.append(_Held(declared, kinds, least, most))
        return found

    def _rows(self, query: exp.Select) -> list[tuple[Any, ...]]:
        with self._errors("read"):
            return self._connection.execute(self._from(query).sql("sqlite")).fetchall()

    def _from(self, query: exp.Select) -> exp.Select:
        of = self._query
        query = query.from_(as_table(of) if of is not None else exp.Table(this=_name(self._table)))
        conditions = [_condition(one) for one in self.conditions if one.is_number]
        return query.where(exp.and_(*conditions)) if conditions else query

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, UnicodeDecodeError) as error:
            code = getattr(error, "sqlite_errorname", None) or type(error).__name__
            raise SourceError(
                f"{self.name} can't be {doing} ({code}).",
                hint="Is it a SQLite database with text in UTF-8, which nobody holds locked?",
            ) from error


def _facts(name: str) -> Iterator[exp.Expr]:
    """Ask which kinds of values there are, and how far the whole numbers go."""
    column = exp.column(_name(name))
    kind = exp.Anonymous(this="typeof", expressions=[column])
    for stored in _STORED:
        yield exp.Max(this=exp.EQ(this=kind.copy(), expression=exp.Literal.string(stored)))
    whole = exp.Case().when(
        exp.EQ(this=kind.copy(), expression=exp.Literal.string("integer")), column.copy()
    )
    yield exp.Min(this=whole)
    yield exp.Max(this=whole.copy())


def _value(field: Field) -> exp.Expr:
    value: exp.Expr = exp.column(_name(field.name))
    if field.type.kind in ("string", "binary"):
        to = "TEXT" if field.type.kind == "string" else "BLOB"
        value = exp.Cast(this=value, to=exp.DataType.build(to, dialect="sqlite"))
    return exp.alias_(value, field.name, quoted=True)


def _condition(condition: Condition) -> exp.Expr:
    constant = exp.Literal.number(condition.value)
    return condition.over(exp.column(_name(condition.column)), constant)


def _affinity(declared: str) -> Any:
    """What SQLite would store, by https://www.sqlite.org/datatype3.html (section 3.1)."""
    if "INT" in declared:
        return "int64"
    if any(word in declared for word in ("REAL", "FLOA", "DOUB")):
        return "float64"
    return "binary" if "BLOB" in declared else "string"


def _by_key(columns: Sequence[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    return sorted(columns, key=lambda column: column[2])


def _name(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)
