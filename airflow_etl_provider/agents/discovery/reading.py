"""Reading a source twice: some rows to look at one by one, then all of them to count."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.sources.base import Account, Scan, Source

__all__ = ["Counted", "Reading"]

T = TypeVar("T")

SAMPLE = "looked_at"
"""The table with the rows that are looked at one by one, all columns as text."""

_MOST_VALUES = 5000
"""Distinct values of a column that are looked at."""

_AT_ONCE = 200
"""Columns that one query takes: more make it slow to plan."""


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
    """

    def __init__(self, source: Source, session: ComputeSession, *, most: int) -> None:
        self._source, self._connection = source, session.connection
        self._most = most
        self._names = source.schema.names
        self._careful: set[InputIdentity] = set()
        self.looked_at = 0

    def sample(self) -> None:
        """Draw rows from all over each input, in one reading."""
        columns = [exp.to_identifier(name, quoted=True) for name in _numbered(self._names)]
        of_type = exp.DataType.build("text")
        table = exp.Create(
            this=exp.Schema(
                this=exp.to_table(SAMPLE),
                expressions=[exp.ColumnDef(this=column, kind=of_type) for column in columns],
            ),
            kind="TABLE",
        )
        self._connection.execute(table.sql("duckdb"))
        share = max(self._most // max(len(self._source.inputs), 1), 1)
        for input in self._source.inputs:
            self._read(input, lambda scan: self._draw(scan, share))
        count = exp.select(exp.Count(this=exp.Star())).from_(SAMPLE)
        ((self.looked_at,),) = self._connection.execute(count.sql("duckdb")).fetchall()

    def _draw(self, scan: Scan, share: int) -> None:
        view = exp.to_table(scan.relation(self._connection), dialect="duckdb")
        query = exp.select(
            *(exp.Cast(this=_column(name), to=exp.DataType.build("text")) for name in self._names)
        ).from_(view)
        # A seed: the same data look the same tomorrow.
        drawn = f"{query.sql('duckdb')} USING SAMPLE reservoir({share:d} ROWS) REPEATABLE (1)"
        self._connection.execute(f"INSERT INTO {SAMPLE} {drawn}")
        failure = scan.failure
        if failure is not None:
            raise failure

    def values(self, number: int) -> dict[str, int]:
        """Give the values of one field that were looked at, most frequent first."""
        column = exp.column(_numbered(self._names)[number], quoted=True)
        query = (
            exp.select(column, exp.alias_(exp.Count(this=exp.Star()), "times"))
            .from_(SAMPLE)
            .where(exp.Not(this=exp.Is(this=column.copy(), expression=exp.Null())))
            .group_by(column.copy())
            .order_by(exp.Ordered(this=exp.column("times"), desc=True), column.copy())
            .limit(_MOST_VALUES)
        )
        return dict(self._connection.execute(query.sql("duckdb")).fetchall())

    def distinct(self, numbers: Sequence[int]) -> int:
        """Count the different combinations of some fields among the rows that were looked at."""
        names = _numbered(self._names)
        inner = (
            exp.select(*(exp.column(names[number], quoted=True) for number in numbers))
            .distinct()
            .from_(SAMPLE)
        )
        query = exp.select(exp.Count(this=exp.Star())).from_(inner.subquery("t"))
        ((found,),) = self._connection.execute(query.sql("duckdb")).fetchall()
        return int(found)

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
        for start in range(0, max(len(flat), 1), _AT_ONCE * 6):
            part = flat[start : start + _AT_ONCE * 6]
            query = exp.select(exp.Count(this=exp.Star()), *part).from_(view.copy())
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


def _numbered(names: Sequence[str]) -> list[str]:
    """Name the columns of the sample: a source's names may differ in their case only."""
    return [f"c{number}" for number in range(len(names))]
