"""Reading a source twice: some rows to look at one by one, then all of them to count."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sqlglot import exp

from airflow_etl_provider.agents.discovery.dependencies import find_dependencies
from airflow_etl_provider.agents.discovery.spread import hash_probe
from airflow_etl_provider.engines.sources.base import Sampled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.sources.base import Account, Scan, Source

__all__ = ["Counted", "Reading"]

T = TypeVar("T")

_MOST_VALUES = 5000
"""Distinct values of a column that are looked at."""

_MOST_CHARACTERS = 16 * 1024
"""Of one value: where values are long, so many of them would fill the memory."""

_BYTES, _SAMPLE_BYTES = 32, 32 * 2**20
"""What the engine reserves for each value that it may draw, measured; and for all of them."""

_AGGREGATES = 8
_AT_ONCE = 400
"""Columns that one query takes: more make it slow to plan, and the memory full."""


_HASH_PROBE = exp.select(hash_probe()).sql("duckdb")


@dataclass(slots=True)
class Counted:
    """What reading all rows gave.

    :param facts: by field, what each of its aggregates gave, over all inputs.
    """

    rows: int = 0
    rejected: int = 0
    bytes_read: int = 0
    notes: list[str] = field(default_factory=list)
    facts: list[list[object]] = field(default_factory=list)


class Reading:
    """One source, opened, in a database of its own.

    :param most: rows to look at one by one.
    :ivar whole: there are no more rows than those that are looked at.
    """

    def __init__(self, source: Source, session: ComputeSession, *, most: int) -> None:
        self._source, self._connection = source, session.connection
        self._most = most
        self._names = source.schema.names
        self._careful: set[InputIdentity] = set()
        self._rows: pa.Table
        self.looked_at = 0
        self.whole = False

    def sample(self) -> None:
        """Draw rows from all over each input: from places in it, or in one reading."""
        import pyarrow as pa

        drawn = self._source.draw(self._most) if isinstance(self._source, Sampled) else None
        if drawn is not None:
            columns = [pa.array(column, pa.string()) for column in zip(*drawn, strict=True)]
            self._rows = pa.table(columns, _numbered(self._names))
        else:
            self._rows = self._drawn_by_reading()
        self.looked_at = self._rows.num_rows

    def _drawn_by_reading(self) -> pa.Table:
        import pyarrow as pa

        most = min(self._most, _SAMPLE_BYTES // (_BYTES * min(max(len(self._names), 1), _AT_ONCE)))
        share = max(most // max(len(self._source.inputs), 1), 1)
        drawn = [
            self._read(input, lambda scan: self._draw(scan, share)) for input in self._source.inputs
        ]
        self.whole = all(rows.num_rows < share for rows in drawn)
        # Arrow holds them: a table of the engine takes a quarter of a megabyte for each column.
        return pa.concat_tables(drawn)

    def _draw(self, scan: Scan, share: int) -> pa.Table:
        import pyarrow as pa

        view = exp.to_table(scan.relation(self._connection), dialect="duckdb")
        texts = [
            exp.alias_(
                exp.Left(
                    this=exp.Cast(this=_column(name), to=exp.DataType.build("text")),
                    expression=exp.Literal.number(_MOST_CHARACTERS),
                ),
                alias,
                copy=False,
            )
            for name, alias in zip(self._names, _numbered(self._names), strict=True)
        ]
        parts = []
        for start in range(0, len(texts), _AT_ONCE):
            part = exp.select(*texts[start : start + _AT_ONCE], copy=False).from_(view.copy())
            # A seed: the same data look the same tomorrow.
            drawn = f"{part.sql('duckdb')} USING SAMPLE reservoir({share:d} ROWS) REPEATABLE (1)"
            parts.append(self._connection.sql(drawn).to_arrow_table())
        rows = pa.table(
            [column for part in parts for column in part.columns], _numbered(self._names)
        )
        if scan.failure is not None:
            raise scan.failure
        return rows

    def values(self, number: int) -> dict[str, int]:
        """Give the values of one field that were looked at, most frequent first."""
        import pyarrow.compute as pc

        counts = pc.value_counts(self._rows.column(number).drop_null())
        pairs = zip(
            counts.field("values").to_pylist(), counts.field("counts").to_pylist(), strict=True
        )
        ordered = sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
        return dict(ordered[:_MOST_VALUES])

    def distinct(self, numbers: Sequence[int]) -> int:
        """Count the different combinations of some fields among the rows that were looked at."""
        chosen = self._rows.select(list(numbers))
        return int(chosen.group_by(chosen.column_names).aggregate([]).num_rows)

    def compute(
        self, expressions: Callable[[int, exp.Column], Sequence[exp.Expr]]
    ) -> Iterator[list[pa.ChunkedArray]]:
        """Compute, of the rows that were looked at, some columns for each field, field by field.

        :param expressions: by the number of a field and the column of its text.
        """
        for start in range(0, len(self._names), _AT_ONCE):
            chosen = self._rows.select(range(start, min(start + _AT_ONCE, len(self._names))))
            asked = [
                list(expressions(start + n, _column(alias)))
                for n, alias in enumerate(chosen.column_names)
            ]
            flat = [one for some in asked for one in some]
            self._connection.register("looked_at", chosen)
            try:
                query = exp.select(
                    *(
                        exp.alias_(one, alias, copy=False)
                        for one, alias in zip(flat, _numbered(flat), strict=True)
                    ),
                    copy=False,
                )
                sql = query.from_("looked_at").sql("duckdb")
                columns = iter(self._connection.sql(sql).to_arrow_table().columns)
            finally:
                self._connection.unregister("looked_at")
            for some in asked:
                yield [next(columns) for _ in some]

    def first_rows(self, most: int) -> list[tuple[str | None, ...]]:
        """Give the first of the rows that were looked at, as text."""
        columns = [column.slice(0, most).to_pylist() for column in self._rows.columns]
        return list(zip(*columns, strict=True))

    def dependencies(self, numbers: Sequence[int]) -> list[tuple[int, tuple[int, ...]]]:
        """Find fields that determine others among the rows that were looked at."""
        return find_dependencies(self._rows, numbers)

    def hashing(self) -> str:
        """Name the way of hashing, which another version of the engine may not share."""
        return format(self._connection.execute(_HASH_PROBE).fetchall()[0][0], "x")

    def estimate_distinct(self, number: int, *, rows: int) -> int:
        """Estimate the different values of one field among all rows, by those that were looked at.

        The estimator Duj1 of Haas and Stokes, "Estimating the Number of Classes in a Finite
        Population" (JASA 93, 1998), which PostgreSQL's ANALYZE uses.

        :param rows: of the whole.
        """
        import pyarrow.compute as pc

        column = self._rows.column(number)
        counts = pc.value_counts(column.drop_null()).field("counts")
        seen, distinct = len(column) - column.null_count, len(counts)
        if not seen or not len(column):
            return 0
        once = int(pc.sum(pc.equal(counts, 1)).as_py() or 0)
        present = rows * seen / len(column)
        estimate: float = seen * distinct / (seen - once + once * seen / present)
        return round(estimate)

    def present(self, number: int) -> tuple[int, int]:
        """Count the looked-at values of one field, and the different ones among them."""
        import pyarrow.compute as pc

        column = self._rows.column(number)
        distinct = pc.count_distinct(column, mode="only_valid").as_py()
        return len(column) - column.null_count, int(distinct)

    def count(
        self,
        aggregates: Sequence[Sequence[exp.Expr]],
        *,
        merge: Callable[[list[list[object]], list[list[object]]], list[list[object]]],
    ) -> Counted:
        """Read everything, and count apart from the engine what is there.

        :param aggregates: by field, expressions over the source's own columns.
        :param merge: puts the facts of two inputs together.
        """
        counted = Counted()
        for input in self._source.inputs:
            facts, account = self._read(input, lambda scan: self._count(scan, aggregates))
            counted.rows += account.scanned
            counted.rejected += account.records - account.scanned
            counted.bytes_read += account.bytes_read
            counted.notes += account.notes
            counted.facts = merge(counted.facts, facts) if counted.facts else facts
        return counted

    def _count(
        self, scan: Scan, aggregates: Sequence[Sequence[exp.Expr]]
    ) -> tuple[list[list[object]], Account]:
        view = exp.to_table(scan.relation(self._connection), dialect="duckdb")
        flat = [one for of_field in aggregates for one in of_field]
        rows = 0
        found: list[object] = []
        for start in range(0, max(len(flat), 1), _AT_ONCE * _AGGREGATES):
            part = flat[start : start + _AT_ONCE * _AGGREGATES]
            query = exp.select(exp.Count(this=exp.Star()), *part, copy=False).from_(view.copy())
            answer = self._connection.execute(query.sql("duckdb")).fetchall()[0]
            rows = int(answer[0])
            found += answer[1:]
        if scan.failure is not None:
            raise scan.failure
        account = scan.account(rows_seen=rows)
        if not account.balanced:
            raise _ReadAgainError
        values = iter(found)
        return [[next(values) for _ in of_field] for of_field in aggregates], account

    def _read(self, input: InputIdentity, read: Callable[[Scan], T]) -> T:
        """Read an input; with care where the fast reader loses records or gives up."""
        import duckdb

        for careful in (input in self._careful, True):
            scan = self._source.scan(input, careful=careful)
            with closing(scan):
                try:
                    return read(scan)
                except (duckdb.Error, _ReadAgainError) as error:
                    if scan.failure is not None:
                        raise scan.failure from None
                    if scan.careful or isinstance(error, duckdb.OutOfMemoryException):
                        raise
                    self._careful.add(input)
        raise AssertionError("read neither fast nor with care")


class _ReadAgainError(Exception):
    """The engine's rows are not those that the reader counted."""


def _column(name: str) -> exp.Column:
    return exp.column(name, quoted=True)


def _numbered(names: Sequence[object]) -> list[str]:
    """Name the columns of the sample: a source's names may differ in their case only."""
    return [f"c{number}" for number in range(len(names))]
