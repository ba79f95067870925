"""One look over all rows: how often each rule is broken, and some of the rows that break it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.reject import Reason, Reject
from airflow_etl_provider.contracts.rules import NullShare
from airflow_etl_provider.engines.accounting import InputTally, UnbalancedError
from airflow_etl_provider.engines.prefetch import Prefetch
from airflow_etl_provider.engines.spool import FailedRowSpool
from airflow_etl_provider.exceptions import CancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.engines.backends.base import Backend, FailedRow, Verdicts
    from airflow_etl_provider.engines.plan import Plan, RowCheck
    from airflow_etl_provider.engines.quarantine import QuarantineWriter
    from airflow_etl_provider.engines.sources.base import Scan, Source
    from airflow_etl_provider.engines.targets.base import Lookups

__all__ = ["Broken", "Inspection"]

Broken = tuple[str, str | None, str]
"""What a row breaks, as it is counted: code, column, and the rule's name or what is wrong."""


class Inspection:
    """Judges all rows of a source, and counts.

    :param plan: judges all rows by all rules, each of a severity that rejects.
    :param severities: what really follows; a row that breaks nothing but warnings is no violation.
    :param sample: rows that are kept for each thing that is broken.
    :param careful: inputs that the reader's own splitter must read; all of them when None.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        severities: dict[Broken, str],
        source: Source,
        backend: Backend,
        lookups: Lookups | None,
        samples: QuarantineWriter,
        sample: int,
        careful: frozenset[InputIdentity] | None,
        scratch: Path | None,
        beat: Callable[[Inspection], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.plan, self.severities = plan, severities
        self.source, self.backend, self.lookups = source, backend, lookups
        self.samples, self.sample = samples, sample
        self.careful, self.scratch = careful, scratch
        self.beat, self.cancelled = beat, cancelled
        self.broken: Counter[Broken] = Counter()
        self.nulls: Counter[str] = Counter()
        self.rows = self.violating = self.filtered = self.bytes_read = 0
        self.notes: tuple[str, ...] = ()
        self._sampled: Counter[Broken] = Counter()
        self._checks: tuple[RowCheck | None, ...] = (*plan.row_checks, *plan.key_checks)
        self._counted_nulls = [
            one.check.column for one in plan.load_checks if isinstance(one.check, NullShare)
        ]

    def run(self) -> None:
        """Read everything once, or twice where keys are compared.

        :raises UnbalancedError: an input must be read again with care.
        """
        if self.plan.key_checks:
            scans = [self._scan(input) for input in self.source.inputs]
            try:
                self.backend.find_duplicates(scans, self.lookups)
            finally:
                for scan in scans:
                    scan.close()
        for number, input in enumerate(self.source.inputs):
            self._inspect(number, input)

    def _scan(self, input: InputIdentity) -> Scan:
        return self.source.scan(input, careful=self.careful is None or input in self.careful)

    def _inspect(self, number: int, input: InputIdentity) -> None:
        scan = self._scan(input)
        spool = FailedRowSpool(scratch=self.scratch)
        verdicts = Prefetch(self.backend.judge(scan, number=number))
        tally = InputTally(input.name)
        try:
            for verdict in verdicts:
                if self.cancelled():
                    raise CancelledError("The check was told to stop.")
                self._count(verdict, spool)
                tally.good += verdict.good.num_rows
                tally.filtered += verdict.filtered
                tally.quarantined += len(verdict.failed)
                self.beat(self)
            self._settle(tally, scan, spool)
        finally:
            verdicts.close()
            spool.close()
            scan.close()

    def _count(self, verdict: Verdicts, spool: FailedRowSpool) -> None:
        self.rows += verdict.good.num_rows + len(verdict.failed)
        self.filtered += verdict.filtered
        for column in self._counted_nulls:
            at = self.plan.target.names.index(column)
            self.nulls[column] += verdict.good.column(at).null_count
        for row in verdict.failed:
            if self._counted_nulls:
                fields = json.loads(row.record)
                self.nulls.update(c for c in self._counted_nulls if fields[c] is None)
            if self._note([self._key(check) for check in self._broken_checks(row)]):
                spool.add([row])

    def _note(self, broken: Iterable[Broken]) -> bool:
        """Count one row; returns whether it belongs into the sample."""
        found = set(broken)
        self.broken.update(found)
        self.violating += any(self.severities.get(one) != "warn" for one in found)
        if all(self._sampled[one] >= self.sample for one in found):
            return False
        self._sampled.update(found)
        return True

    def _settle(self, tally: InputTally, scan: Scan, spool: FailedRowSpool) -> None:
        account = scan.account(rows_seen=tally.good + tally.filtered + tally.quarantined)
        if not account.balanced:
            raise UnbalancedError(scan.input)
        self.notes += account.notes
        self.bytes_read += account.bytes_read
        self.samples.add(self._rejects(scan, spool))
        for reject in scan.rejects():
            tally.quarantined += 1
            self.rows += 1
            if self._note([(r.code, r.column, r.code) for r in reject.reasons]):
                self.samples.add([reject])
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
                    reasons=tuple(
                        Reason(code=c.code, column=c.column, step=c.step, message=c.message)
                        for c in self._broken_checks(row)
                    ),
                    fields=fields,
                )

    def _broken_checks(self, row: FailedRow) -> list[RowCheck]:
        checks = (self._checks[number] for number in row.checks)
        return [check for check in checks if check is not None]

    @staticmethod
    def _key(check: RowCheck) -> Broken:
        return check.code, check.column, check.rule or check.message
