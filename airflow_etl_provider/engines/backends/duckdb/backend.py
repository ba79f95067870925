"""Run a plan with the embedded DuckDB: typed Arrow batches in one pass over each scan."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.contracts.rules import LOAD_NAMES, LoadExpression
from airflow_etl_provider.engines.accounting import DuplicatesFoundError, UnbalancedError
from airflow_etl_provider.engines.backends.base import FailedRow, Losing, Verdicts
from airflow_etl_provider.engines.backends.duckdb.duplicates import Loser, Losers, find_losers
from airflow_etl_provider.engines.backends.duckdb.messages import stem_of
from airflow_etl_provider.engines.backends.duckdb.render import (
    RenderedPlan,
    bind_load_condition,
    render_plan,
    sql_of,
)
from airflow_etl_provider.engines.backends.duckdb.seen_keys import SeenKeys
from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb
from airflow_etl_provider.engines.sources.bundle import divide, ends_of, inputs_of
from airflow_etl_provider.exceptions import (
    CancelledError,
    EtlError,
    SourceError,
    SpecificationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.plan import Plan
    from airflow_etl_provider.engines.sources.base import Readable
    from airflow_etl_provider.engines.targets.base import Lookups

__all__ = ["DuckDbBackend"]

BATCH_BYTES = 8 * 2**20
"""What one batch aims at; a few of them are alive at any time."""

BATCH_ROWS = 65_536
"""The most rows of one batch; narrow rows gain nothing beyond it."""


_SCAN = "etl_the_scan_4f1d0c72"
"""Stands for a view in the text of the query; no column, and no text of a rule, is called so."""


class DuckDbBackend:
    """The embedded engine. One object runs one plan over the scans of one load.

    :param hopeful: remember the unique keys of what is judged, for `expect_no_duplicates`, instead
        of looking for duplicates first.
    """

    def __init__(self, plan: Plan, *, session: ComputeSession, hopeful: bool = False) -> None:
        self.plan = plan
        self.session = session
        self._keys = SeenKeys(session, len(plan.unique_keys)) if hopeful else None
        self.rendered: RenderedPlan = render_plan(plan)
        self._with_losers: frozenset[int] = frozenset()
        self._lookups: Lookups | None = None
        self._interrupted = False
        self._bind()
        for load_check in plan.load_checks:
            if isinstance(load_check.check, LoadExpression):
                bind_load_condition(load_check.check.sql, LOAD_NAMES)

    @cached_property
    def _sql(self) -> str:
        """The query, written once: for a small file that takes longer than all the rest."""
        return sql_of(self.rendered.query(_SCAN, with_keys=self._keys is not None))

    def interrupt(self) -> None:
        self._interrupted = True
        self.session.interrupt()
        if self._keys is not None:
            self._keys.interrupt()
        if self._lookups is not None:
            self._lookups.interrupt()

    def close(self) -> None:
        self.session.close()

    def holds(self, condition: str, figures: Mapping[str, int]) -> bool:
        """Whether an SQL condition over the figures of a load is not false."""
        tree = bind_load_condition(condition, tuple(figures))
        names = [exp.column(exp.to_identifier(n, quoted=True)) for n in figures]
        values = exp.select(
            *[
                exp.Literal.number(v).as_(n.name, quoted=True)
                for n, v in zip(names, figures.values(), strict=True)
            ]
        )
        ((outcome,),) = self.session.connection.execute(
            sql_of(exp.select(tree).from_(values.subquery("figures")))
        ).fetchall()
        return outcome is not False

    def _bind(self) -> None:
        """Let DuckDB type-check the whole query on no rows, before anything is read or written."""
        import duckdb

        columns = [
            exp.ColumnDef(
                this=exp.to_identifier(field.name, quoted=True), kind=to_duckdb(field.type)
            )
            for field in self.plan.source
        ]
        table = exp.Create(
            this=exp.Schema(this=exp.to_table("no_rows"), expressions=columns),
            kind="TABLE",
            replace=True,
        )
        connection = self.session.connection
        connection.execute(sql_of(table))
        try:
            connection.execute(f"DESCRIBE {sql_of(self.rendered.query('no_rows'))}").fetchall()
            if self.rendered.constants:
                constants = [constant.copy() for constant in self.rendered.constants]
                connection.execute(sql_of(exp.select(*constants))).fetchall()
        except duckdb.Error as error:
            raise SpecificationError(
                "The contract or a rule does not fit the types of its columns: "
                f"{_first_line(error)}"
            ) from error
        finally:
            connection.execute("DROP TABLE IF EXISTS no_rows")

    def find_duplicates(self, scans: Sequence[Readable], lookups: Lookups | None = None) -> None:
        """Find the rows that must give way for their key."""
        import duckdb

        self._lookups = lookups
        try:
            self._with_losers = find_losers(self.session, self.rendered, scans, lookups)
        except EtlError:
            if self._interrupted:
                raise CancelledError("The run was told to stop. Nothing was published.") from None
            raise
        except duckdb.Error as error:
            if self._interrupted:
                raise CancelledError("The run was told to stop. Nothing was published.") from error
            for scan in scans:
                if scan.failure is not None:
                    raise scan.failure from None
                if not scan.careful:
                    raise UnbalancedError(*inputs_of(scan)) from error
            names = ", ".join(scan.input.name for scan in scans[:3])
            raise SourceError(f"Reading the keys of {names} failed: {stem_of(error)}") from error
        finally:
            self._lookups = None

    def expect_no_duplicates(self) -> None:
        """Compare the keys of all rows that were judged to be good.

        :raises DuplicatesFoundError: some may occur twice.
        """
        import duckdb

        if self._keys is None:
            return
        try:
            found = self._keys.any_twice()
        except duckdb.Error as error:
            if self._interrupted:
                raise CancelledError("The run was told to stop. Nothing was published.") from error
            raise SourceError(f"Comparing the keys failed: {stem_of(error)}") from error
        if found:
            raise DuplicatesFoundError

    def judge(self, scan: Readable, *, number: int) -> Iterator[Verdicts]:
        """Read one scan to its end and judge every row."""
        import duckdb
        import pyarrow as pa

        connection = self.session.connection
        losers = Losers(self.session, number) if number in self._with_losers else None
        start, ends = 0, ends_of(scan)
        try:
            query = self._sql.replace(_SCAN, scan.relation(connection))
            for batch in connection.sql(query).to_arrow_reader(self._batch_rows()):
                for part, first, piece in divide(batch, start, ends):
                    taken = losers.take(start + piece.num_rows) if losers else []
                    yield _of_part(self._verdicts(piece, start, taken), part, first)
                    start += piece.num_rows
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            # Once batches flow, Arrow's reader wraps what DuckDB says, and DuckDB what we say.
            if self._interrupted:
                raise CancelledError("The run was told to stop. Nothing was published.") from error
            if scan.failure is not None:
                raise scan.failure from None
            if not scan.careful:
                raise UnbalancedError(*inputs_of(scan)) from error
            if "Out of Memory" in str(error):
                raise self._out_of_memory(scan.input.name) from None
            raise SourceError(
                f"Reading {scan.input.name} failed after {start} rows: {stem_of(error)}"
            ) from error
        finally:
            if losers is not None:
                losers.close()

    def _out_of_memory(self, name: str) -> SourceError:
        return SourceError(
            f"Converting the {len(self.plan.columns)} columns of {name} takes more memory than the "
            "engine may use.",
            hint="Raise `memory_limit_mb` in section [etl], load fewer columns, or load them as "
            "text (`--all-text`).",
        )

    def _batch_rows(self) -> int:
        """Rows per batch: wide tables get fewer, so that a batch stays near BATCH_BYTES."""
        per_row = 16 * (len(self.plan.columns) + 3)
        return max(2_048, min(BATCH_ROWS, BATCH_BYTES // per_row))

    def _verdicts(self, batch: pa.RecordBatch, start: int, losers: list[Loser]) -> Verdicts:
        import pyarrow.compute as pc

        if self._keys is not None:
            self._keys.add(batch)
        codes = batch.column("_failed")
        if codes.null_count == batch.num_rows and not losers:
            return Verdicts(
                self._good(batch),
                batch.num_rows,
                warned=self._warned(batch),
                marks=self._marks(batch),
            )
        keep = pc.is_null(codes)
        filtered = pc.sum(pc.equal(codes, "")).as_py() or 0
        failed = _failed(codes, start)
        deduplicated = 0
        warned: dict[int, int] = {}
        gone: list[int] = []
        broken: list[FailedRow] = []
        for loser in losers:
            checks = self._broken_keys(loser)
            if checks is None:
                deduplicated += 1
            elif checks:
                broken.append(FailedRow(loser.row, checks, loser.record))
            else:
                for at in self._warned_keys(loser):
                    warned[at] = warned.get(at, 0) + 1
                continue
            gone.append(loser.row - start)
        if gone:
            keep = _without(keep, gone)
        failed = _merged(failed, broken)
        # All but the verdicts, which are text.
        rows = batch.drop_columns(["_failed"]).filter(keep)
        for check, count in self._warned(rows).items():
            warned[check] = warned.get(check, 0) + count
        good = self._good(rows)
        return Verdicts(
            good,
            batch.num_rows,
            failed,
            filtered,
            deduplicated,
            warned,
            marks=self._marks(rows),
            losing=self._losing(batch, [row.row for row in broken], start),
        )

    def _losing(self, batch: pa.RecordBatch, numbers: list[int], start: int) -> Losing | None:
        """What rows that lose by their keys would load, should it turn out to be loaded already."""
        import pyarrow as pa

        if self.rendered.mark is None:
            return None
        # Rows that fail for themselves, too, were never loaded.
        codes = batch.column("_failed")
        numbers = [number for number in numbers if not codes[number - start].is_valid]
        if not numbers:
            return None
        rows = batch.take(pa.array([number - start for number in numbers], pa.int64()))
        return Losing(tuple(numbers), self._good(rows), rows.column("_mark"))

    def _marks(self, batch: pa.RecordBatch) -> pa.Array | None:
        return None if self.rendered.mark is None else batch.column("_mark")

    def _warned(self, batch: pa.RecordBatch) -> dict[int, int]:
        counts: dict[int, int] = {}
        if self.plan.warning:
            for text in batch.column("_warned").drop_null().to_pylist():
                for check in text.split(","):
                    if check:
                        counts[int(check)] = counts.get(int(check), 0) + 1
        return counts

    def _good(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [*range(len(self.plan.columns))]
        if self.plan.deletes is not None:
            columns.append(batch.schema.names.index("_delete"))
        return batch.select(columns)

    def _broken_keys(self, loser: Loser) -> tuple[int, ...] | None:
        """The checks that reject the loser, () for warnings alone, None when it is only older."""
        keys = [(key, self.plan.key_checks[key]) for key in loser.keys]
        rejecting = tuple(
            len(self.plan.row_checks) + key
            for key, check in keys
            if check is not None and check.severity != "warn"
        )
        if rejecting:
            return rejecting
        return None if any(check is None for _, check in keys) else ()

    def _warned_keys(self, loser: Loser) -> list[int]:
        """The checks that warn of the loser: one of a rule, which may have found it twice."""
        checks = {self.plan.key_checks[key]: len(self.plan.row_checks) + key for key in loser.keys}
        by_rule = {
            (check.code, check.rule): at for check, at in checks.items() if check is not None
        }
        return list(by_rule.values())


def _failed(codes: pa.Array, start: int) -> list[FailedRow]:
    import pyarrow.compute as pc

    at = pc.indices_nonzero(pc.fill_null(pc.not_equal(codes, ""), fill_value=False))
    rows = []
    for place, text in zip(at.to_pylist(), codes.take(at).to_pylist(), strict=True):
        checks, _, record = text.partition("|")
        positions = tuple(int(check) for check in checks.split(",") if check)
        rows.append(FailedRow(start + place, positions, record))
    return rows


def _merged(failed: list[FailedRow], broken: list[FailedRow]) -> list[FailedRow]:
    """All failed rows in order; one that fails for itself and for its key is one row."""
    if not broken:
        return failed
    rows = {row.row: row for row in failed}
    for row in broken:
        known = rows.get(row.row)
        checks = (*known.checks, *row.checks) if known else row.checks
        rows[row.row] = FailedRow(row.row, checks, row.record)
    return sorted(rows.values(), key=lambda row: row.row)


def _of_part(verdicts: Verdicts, part: int, first: int) -> Verdicts:
    """The same, with rows that are counted from the first one of their part."""
    if not part:
        return verdicts
    failed = [replace(row, row=row.row - first) for row in verdicts.failed]
    losing = verdicts.losing
    if losing is not None:
        losing = replace(losing, numbers=tuple(number - first for number in losing.numbers))
    return replace(verdicts, failed=failed, part=part, losing=losing)


def _without(keep: pa.Array, gone: list[int]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    flags = np.array(keep.to_numpy(zero_copy_only=False), copy=True)
    flags[gone] = False
    return pa.array(flags)


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
