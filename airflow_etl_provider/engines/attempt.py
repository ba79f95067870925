"""One attempt at a load: read, judge, quarantine and balance; the books of one run."""

from __future__ import annotations

import heapq
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from airflow_etl_provider.contracts.expressions import parse_expression
from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.contracts.rules import NullShare
from airflow_etl_provider.engines.accounting import InputTally, Tally, UnbalancedError
from airflow_etl_provider.engines.prefetch import Prefetch
from airflow_etl_provider.engines.sources.bundle import Bundle, Bundling
from airflow_etl_provider.engines.spool import FailedRowSpool
from airflow_etl_provider.exceptions import CancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.engines.backends.base import Backend, FailedRow, Verdicts
    from airflow_etl_provider.engines.high_mark import HighMark
    from airflow_etl_provider.engines.plan import LoadCheck, Plan, RowCheck
    from airflow_etl_provider.engines.quarantine import QuarantineWriter
    from airflow_etl_provider.engines.relational.staging import TakenInput
    from airflow_etl_provider.engines.sources.base import Readable, Scan, Source
    from airflow_etl_provider.engines.targets.base import Lookups

__all__ = ["Attempt"]


class Attempt:
    """Judges all inputs of one load, in order, and keeps the books.

    :param lookups: what the plan's look-ups are answered by.
    :param careful: inputs that the reader's own splitter must read; all of them when None.
    :param beat: called for every batch, with the present input's name.
    :param cancelled: asked for every batch.
    :param taken: of a select, its inputs, which are read as this is iterated over.
    :param hopeful: the backend compares unique keys at the end instead of beforehand.
    :param high_mark: where the pipeline goes by the highest value of a column.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        source: Source,
        backend: Backend,
        quarantine: QuarantineWriter,
        lookups: Lookups | None = None,
        careful: frozenset[InputIdentity] | None,
        scratch: Path | None,
        beat: Callable[[Tally, str], None],
        cancelled: Callable[[], bool],
        taken: Iterator[TakenInput] | None = None,
        hopeful: bool = False,
        high_mark: HighMark | None = None,
    ) -> None:
        self.plan = plan
        self.source = source
        self.backend = backend
        self.quarantine = quarantine
        self.lookups = lookups
        self.careful = careful
        self.scratch = scratch
        self.beat = beat
        self.cancelled = cancelled
        self.taken = taken
        self.hopeful = hopeful
        self.high_mark = high_mark
        self.tally = Tally()
        self.checks: tuple[RowCheck | None, ...] = (*plan.row_checks, *plan.key_checks)
        self.failure: BaseException | None = None
        self._known_reasons: dict[tuple[int, ...], _Reasons] = {}

    def batches(self, schema: pa.Schema) -> Generator[pa.RecordBatch, None, None]:
        """The good rows of all inputs, in the target's own Arrow types.

        Drivers that pull batches turn exceptions into their own; `failure` keeps the real one.
        """
        try:
            for taken in self.taken or ():
                self._take(taken)
            if self.plan.key_checks and not self.hopeful:
                self._find_duplicates()
            for number, unit in enumerate(self._units()):
                yield from self._read(number, unit, schema)
            if self.hopeful:
                self.backend.expect_no_duplicates()
            if self.high_mark is not None:
                self.high_mark.check()
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise

    def broken_load_rules(self) -> tuple[list[str], list[str]]:
        """Rules on the load that do not hold: those that fail the run, and those that warn."""
        failing = [f"{words} ({count} rows)" for words, count in self.tally.failing.items()]
        warning: list[str] = []
        for check in self.plan.load_checks:
            if not self._load_holds(check):
                if check.severity == "warn":
                    warning.append(check.message)
                else:
                    failing.append(f"{check.message} ({self._figures(check)})")
        return failing, warning

    def _figures(self, check: LoadCheck) -> str:
        """What was found where a rule on the load set a limit."""
        if isinstance(check.check, NullShare):
            return f"{self.tally.nulls[check.check.column]} of {self.tally.good} rows"
        named = {name.lower() for name in parse_expression(check.check.sql, kind="load").columns}
        figures = self.tally.load_figures()
        return ", ".join(f"{name} {figures[name]}" for name in figures if name in named)

    def _load_holds(self, check: LoadCheck) -> bool:
        if isinstance(check.check, NullShare):
            rows = self.tally.good
            return rows == 0 or self.tally.nulls[check.check.column] / rows <= check.check.share
        return self.backend.holds(check.check.sql, self.tally.load_figures())

    def _units(self) -> Iterator[tuple[InputIdentity, ...]]:
        """The inputs in order, together what is read together."""
        if isinstance(self.source, Bundling):
            return self.source.units(careful=self.careful)
        return ((input,) for input in self.source.inputs)

    def _scan(self, unit: tuple[InputIdentity, ...]) -> Scan | Readable:
        if len(unit) > 1 and isinstance(self.source, Bundling):
            return self.source.scan_together(unit)
        careful = self.careful is None or unit[0] in self.careful
        return self.source.scan(unit[0], careful=careful)

    def _find_duplicates(self) -> None:
        scans = [self._scan(unit) for unit in self._units()]
        try:
            self.backend.find_duplicates(scans, self.lookups)
        finally:
            for scan in scans:
                scan.close()

    def _take(self, taken: TakenInput) -> None:
        """Keep the books of an input whose rows a select has now."""
        if self.cancelled():
            raise CancelledError("The run was told to stop. Nothing was published.")
        tally = self.tally.begin(taken.input, taken=True)
        tally.selected, tally.bytes_read = taken.selected, taken.bytes_read
        self.tally.rows_in[taken.name] += taken.selected
        self.tally.notes += taken.notes
        self.quarantine.add(self._counted(tally, taken.rejects))
        tally.records = taken.records
        tally.check()
        self.beat(self.tally, taken.input)

    def _read(
        self, number: int, unit: tuple[InputIdentity, ...], schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        scan = self._scan(unit)
        parts = scan.parts if isinstance(scan, Bundle) else (cast("Scan", scan),)
        tallies = [self.tally.begin(input.name) for input in unit]
        spools = [FailedRowSpool(scratch=self.scratch) for _ in unit]
        verdicts = Prefetch(self.backend.judge(scan, number=number))
        seen = [0] * len(unit)
        try:
            for judged in verdicts:
                if self.cancelled():
                    raise CancelledError("The run was told to stop. Nothing was published.")
                verdict = self.high_mark.take(judged) if self.high_mark is not None else judged
                part = verdict.part
                seen[part] += verdict.seen
                self._count(tallies[part], verdict)
                spools[part].add(verdict.failed)
                self.beat(self.tally, unit[part].name)
                if verdict.good.num_rows:
                    yield _fitted(verdict.good, schema)
            if isinstance(scan, Bundle) and not scan.verify():
                raise UnbalancedError(*unit)
            for at, tally in enumerate(tallies):
                self._settle(tally, parts[at], spools[at], seen[at], unit=unit)
        finally:
            verdicts.close()
            for spool in spools:
                spool.close()
            scan.close()

    def _count(self, tally: InputTally, verdict: Verdicts) -> None:
        import pyarrow.compute as pc

        rows = verdict.good
        if self.plan.deletes is not None:
            live = rows.filter(pc.invert(rows.column(rows.num_columns - 1)))
            tally.deleted += rows.num_rows - live.num_rows
            rows = live
        tally.good += rows.num_rows
        tally.filtered += verdict.filtered
        tally.deduplicated += verdict.deduplicated
        tally.quarantined += len(verdict.failed)
        for check, count in verdict.warned.items():
            self.tally.warnings[self._check(check).label] += count
        for load_check in self.plan.load_checks:
            if isinstance(load_check.check, NullShare):
                column = load_check.check.column
                at = self.plan.target.names.index(column)
                self.tally.nulls[column] += rows.column(at).null_count

    def _settle(
        self,
        tally: InputTally,
        scan: Scan,
        spool: FailedRowSpool,
        seen: int,
        *,
        unit: tuple[InputIdentity, ...],
    ) -> None:
        """Balance one input that was read to its end, and quarantine its rejects in file order."""
        account = scan.account(rows_seen=seen)
        if not account.balanced:
            raise UnbalancedError(*unit)
        tally.bytes_read = account.bytes_read
        self.tally.notes += account.notes
        judged = self._rejects(scan, spool)
        read = self._reader_rejects(tally, scan)
        self.quarantine.add(heapq.merge(judged, read, key=lambda reject: reject.record))
        tally.records = account.records
        tally.check()

    def _rejects(self, scan: Scan, spool: FailedRowSpool) -> Iterator[Reject]:
        for chunk in spool.chunks():
            numbers = scan.record_numbers([row.row for row in chunk])
            for row, number in zip(chunk, numbers, strict=True):
                fields = json.loads(row.record)
                yield Reject(
                    input=scan.input.name,
                    record=number,
                    raw=scan.raw(fields),
                    reasons=self._reasons(row),
                    fields=fields,
                    text=row.record,
                )

    def _reader_rejects(self, tally: InputTally, scan: Scan) -> Iterator[Reject]:
        yield from self._counted(tally, scan.rejects())

    def _counted(self, tally: InputTally, rejects: Iterable[Reject]) -> Iterator[Reject]:
        for reject in rejects:
            tally.quarantined += 1
            for label in {reason.label for reason in reject.reasons}:
                self.tally.reasons[label] += 1
            yield reject

    def _reasons(self, row: FailedRow) -> tuple[Reason, ...]:
        known = self._known_reasons.get(row.checks)
        if known is None:
            known = self._known_reasons[row.checks] = _Reasons.of(
                [self._check(check) for check in row.checks]
            )
        for label in known.labels:
            self.tally.reasons[label] += 1
        for message in known.failing:
            self.tally.failing[message] += 1
        return known.reasons

    def _check(self, number: int) -> RowCheck:
        """The check of a failed row; only keys without `latest_by`, which reject, have none."""
        return cast("RowCheck", self.checks[number])


@dataclass(frozen=True, slots=True)
class _Reasons:
    """What is said of every row that fails the same checks."""

    reasons: tuple[Reason, ...]
    labels: frozenset[str]
    failing: tuple[str, ...]

    @classmethod
    def of(cls, checks: Sequence[RowCheck]) -> _Reasons:
        return cls(
            reasons=tuple(Reason(c.code, c.column, c.step, c.message) for c in checks),
            labels=frozenset(check.label for check in checks),
            failing=tuple(check.message for check in checks if check.severity == "fail"),
        )


def _fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same values in the target's own Arrow types; the plan made sure that they fit."""
    import pyarrow as pa

    columns = [
        _cast(column, field.type) for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _cast(column: pa.Array, to: pa.DataType) -> pa.Array:
    import pyarrow as pa

    if column.type == to:
        return column
    plain = column.storage if isinstance(column, pa.ExtensionArray) else column
    return plain if plain.type == to else plain.cast(to)
