"""Data quality: the rules alone, on a table or on files that are there already."""

from __future__ import annotations

import hashlib
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.by_name import contract_by_name
from airflow_etl_provider.contracts.expressions import parse_expression
from airflow_etl_provider.contracts.pipeline import Pipeline, SourceSpec, TargetSpec
from airflow_etl_provider.contracts.quality import QualityReport, RuleResult
from airflow_etl_provider.contracts.rules import (
    LOAD_NAMES,
    LoadExpression,
    NullShare,
    References,
    RowExpression,
    Unique,
)
from airflow_etl_provider.engines.batch import EngineOptions
from airflow_etl_provider.engines.inspection import Inspection
from airflow_etl_provider.engines.planned_rules import columns_of, near, plan_rules
from airflow_etl_provider.engines.planner import build_plan
from airflow_etl_provider.engines.progress import BEAT_SECONDS, Progress
from airflow_etl_provider.engines.stopping import interrupted_by
from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime
    from pathlib import Path

    from airflow_etl_provider.contracts.checks import Check
    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.quality import QualityCheck, QualityStatus
    from airflow_etl_provider.contracts.rules import Rule
    from airflow_etl_provider.engines.backends.base import Backend
    from airflow_etl_provider.engines.inspection import Broken
    from airflow_etl_provider.engines.plan import Plan
    from airflow_etl_provider.engines.sources.base import Source
    from airflow_etl_provider.engines.sources.tables.conditions import Condition
    from airflow_etl_provider.engines.sources.tables.table import TableSource
    from airflow_etl_provider.engines.targets.base import Lookups

__all__ = ["check_quality"]


def check_quality(
    check: QualityCheck,
    *,
    connections: Connections,
    run_id: str,
    base: Path | None = None,
    options: EngineOptions | None = None,
    clock: Callable[[], datetime],
    progress: Callable[[Progress], None] | None = None,
    cancel: Callable[[], bool] | None = None,
) -> QualityReport:
    """Judge all rows by all rules; what is checked is never changed.

    Whether the check failed is in the report's status: that is an answer, not an error.

    :param base: folder that relative locations start from.
    :raises EtlError: it could not be checked.
    """
    from airflow_etl_provider.engines.accounting import UnbalancedError

    options = options or EngineOptions()
    started, started_at = time.monotonic(), clock().isoformat()
    with ExitStack() as stack:
        subject = _open(check, connections=connections, base=base, options=options, stack=stack)
        careful: frozenset[InputIdentity] | None = frozenset()
        while True:
            run = _Run(check, subject, options, run_id, careful, started, progress, cancel)
            try:
                return replace(
                    run.report(),
                    started_at=started_at,
                    seconds=round(time.monotonic() - started, 3),
                )
            except UnbalancedError as error:
                # As with loads: one input with care, then all of them.
                if careful is None:
                    raise
                careful = frozenset(error.inputs) if not careful else None


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is checked, opened, with the plan that judges it."""

    source: Source
    table: TableSource | None
    plan: Plan
    severities: dict[Broken, str]
    target: TargetSpec | None
    connections: Connections
    base: Path | None


def _open(
    check: QualityCheck,
    *,
    connections: Connections,
    base: Path | None,
    options: EngineOptions,
    stack: ExitStack,
) -> _Subject:
    target: TargetSpec | None = None
    table: TableSource | None = None
    source: Source
    if check.table is not None:
        from airflow_etl_provider.engines.sources.tables import open_table

        target = TargetSpec(connection=check.connection, location=check.location, table=check.table)
        source = table = open_table(
            target, connections=connections, base=base, scratch=options.scratch
        )
    else:
        from airflow_etl_provider.engines.sources import open_source

        spec = SourceSpec(connection=check.connection, location=check.location, format=check.format)
        source = open_source(spec, connections=connections, base=base, scratch=options.scratch)
    stack.callback(source.close)
    needed = _needed_columns(check, source, key=table.key if table is not None else ())
    if table is not None:
        _narrow(table, check, needed)
    plan, severities = _plan(check, source, needed)
    return _Subject(source, table, plan, severities, target, connections, base)


def _narrow(table: TableSource, check: QualityCheck, needed: Collection[str]) -> None:
    from airflow_etl_provider.engines.sources.tables.conditions import conditions_of

    conditions: tuple[Condition, ...] = ()
    if check.where is not None and not _counts_all(check):
        conditions = conditions_of(check.where, table.schema)
    table.narrow(needed, conditions)
    table.rereads = any(
        isinstance(one, Unique | References) for rule in check.rules for one in rule.checks
    )


def _counts_all(check: QualityCheck) -> bool:
    """Whether a rule counts rows that `where` leaves out, which then must be read."""
    named = {
        name.lower()
        for rule in check.rules
        for one in rule.checks
        if isinstance(one, LoadExpression)
        for name in parse_expression(one.sql, kind="load").columns
    }
    return not named.isdisjoint(("rows_read", "rows_filtered"))


def _needed_columns(check: QualityCheck, source: Source, *, key: tuple[str, ...]) -> frozenset[str]:
    """Columns that a rule, `where` or the sample looks at.

    :raises SpecificationError: one of them is not there.
    """
    names = source.schema.names
    folded = {name.lower(): name for name in names}
    exact = [c for rule in check.rules for one in rule.checks for c in columns_of(one)]
    exact += check.sample_columns
    for column in exact:
        if column not in names:
            raise SpecificationError(
                f"The check {check.check!r} names column {column!r}, which {source.name} does not "
                f"have.{near(column, names)}"
            )
    written = [
        name
        for rule in check.rules
        for one in rule.checks
        if isinstance(one, RowExpression)
        for name in parse_expression(one.sql, kind="rule").columns
    ]
    if check.where is not None:
        written += parse_expression(check.where, kind="filter").columns
    # A name that is not there is told by whoever binds the expression.
    found = {folded[name.lower()] for name in written if name.lower() in folded}
    return frozenset([*exact, *found, *key]) or frozenset(names[:1])


def _plan(
    check: QualityCheck, source: Source, needed: frozenset[str]
) -> tuple[Plan, dict[Broken, str]]:
    contract = contract_by_name(
        name=check.check,
        source=source.schema,
        suggested=source.suggested,
        target=None,
        source_dataset=source.name,
    )
    columns = {name: column for name, column in contract.columns.items() if name in needed}
    fields = {name: of for name, of in contract.target.fields.items() if name in needed}
    contract = contract.model_copy(
        update={
            "columns": columns,
            "target": contract.target.model_copy(update={"fields": fields}),
        }
    )
    # As if it were loaded into a file: nothing is there, and nothing comes of it.
    pipeline = Pipeline(
        pipeline=check.check,
        source=SourceSpec(location=source.name),
        target=TargetSpec(location="nowhere.parquet", mode="replace"),
        filter=check.where,
    )
    plan = build_plan(pipeline, contract, source=source.schema, target=None, window=None)
    # Every rule is judged for itself, whatever it is worth and whatever else a row breaks.
    judged = [
        rule
        if isinstance(rule.checks[0], NullShare | LoadExpression)
        else rule.model_copy(update={"severity": "quarantine"})
        for rule in check.rules
    ]
    rules = plan_rules(judged, schema=plan.target, mode="replace", key=())
    plan = replace(
        plan,
        row_checks=(*plan.row_checks, *rules.row_checks),
        unique_keys=rules.unique_keys,
        load_checks=rules.load_checks,
        lookups=rules.lookups,
        judges_all=True,
    )
    severities: dict[Broken, str] = {
        _broken(rule, one): rule.severity for rule in check.rules for one in rule.checks
    }
    return plan, severities


def _broken(rule: Rule, check: Check) -> Broken:
    """How the rule is counted, where it is broken."""
    return check.code, ",".join(columns_of(check)) or None, rule.name or check.describe()


class _Run:
    """One reading of the subject, from the first row to the report."""

    def __init__(
        self,
        check: QualityCheck,
        subject: _Subject,
        options: EngineOptions,
        run_id: str,
        careful: frozenset[InputIdentity] | None,
        started: float,
        progress: Callable[[Progress], None] | None,
        cancel: Callable[[], bool] | None,
    ) -> None:
        self.check, self.subject, self.options, self.run_id = check, subject, options, run_id
        self.careful, self.started = careful, started
        self.progress = progress
        self.cancel = cancel or (lambda: False)
        self._last_beat = 0.0

    def report(self) -> QualityReport:
        from airflow_etl_provider.engines.backends.duckdb.backend import DuckDbBackend
        from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
        from airflow_etl_provider.engines.quarantine import QuarantineWriter

        plan, check = self.subject.plan, self.check
        samples = QuarantineWriter(
            check.quarantine or str(self.options.quarantine_home),
            pipeline=check.check,
            load_id=f"check-{_digest(self.subject.source.name)}",
            run_id=self.run_id,
        )
        with (
            ComputeSession(
                memory_limit=self.options.memory_limit,
                threads=self.options.threads,
                scratch=self.options.scratch,
                columns=plan.width,
            ) as compute,
            closing(DuckDbBackend(plan, session=compute)) as backend,
            ExitStack() as stack,
        ):
            inspection = Inspection(
                plan=plan,
                severities=self.subject.severities,
                source=self.subject.source,
                backend=backend,
                lookups=self._open_lookups(stack),
                samples=samples,
                sample=check.sample,
                careful=self.careful,
                scratch=self.options.scratch,
                beat=self._beat,
                cancelled=self.cancel,
            )
            try:
                with interrupted_by(self.cancel, lambda: self._interrupt(backend)):
                    inspection.run()
                manifest = samples.seal()
                if manifest is not None:
                    # Nothing was to be published; this also keeps it from being swept.
                    samples.mark("not_published")
            except BaseException:
                samples.discard()
                raise
            results = tuple(self._results(inspection, backend))
        return QualityReport(
            status=self._status(inspection, results),
            run_id=self.run_id,
            check=check.check,
            dataset=self.subject.source.name,
            rows_checked=inspection.rows,
            rows_violating=inspection.violating,
            rows_filtered=inspection.filtered,
            rules=results,
            sample=manifest.location if manifest else None,
            sample_rows=manifest.rows if manifest else 0,
            notes=inspection.notes,
        )

    def _open_lookups(self, stack: ExitStack) -> Lookups | None:
        from airflow_etl_provider.engines.targets import open_target
        from airflow_etl_provider.engines.targets.base import LookingTarget

        subject = self.subject
        if not subject.plan.lookups:
            return None
        if subject.target is None:
            raise NotSupportedYetError(
                f"The rule `references` needs a database to look the keys up in, and "
                f"{subject.source.name} is none.",
                hint="Check them when they are loaded, or take the rule out.",
            )
        target = open_target(
            subject.target,
            connections=subject.connections,
            base=subject.base,
            pipeline=self.check.check,
        )
        stack.callback(target.close)
        assert isinstance(target, LookingTarget)  # noqa: S101 - every database is one
        lookups = target.open_lookups(subject.plan.lookups, columns=subject.plan.target)
        stack.callback(lookups.close)
        return lookups

    def _interrupt(self, backend: Backend) -> None:
        backend.interrupt()
        if self.subject.table is not None:
            self.subject.table.interrupt()

    def _beat(self, inspection: Inspection) -> None:
        now = time.monotonic()
        if self.progress is None or now - self._last_beat < BEAT_SECONDS:
            return
        self._last_beat = now
        self.progress(
            Progress(
                stage=f"checking {self.subject.source.name}",
                rows_read=inspection.rows + inspection.filtered,
                rows_rejected=inspection.violating,
                bytes_read=inspection.bytes_read,
                bytes_total=0,
                seconds=now - self.started,
            )
        )

    def _results(self, inspection: Inspection, backend: Backend) -> list[RuleResult]:
        """Results in the order of the rules, then what was wrong besides them."""
        results = []
        rows = inspection.rows
        left = dict(inspection.broken)
        for rule in self.check.rules:
            for one in rule.checks:
                key = _broken(rule, one)
                holds, count = True, left.pop(key, 0)
                if isinstance(one, NullShare):
                    count = inspection.nulls[one.column]
                    holds = rows == 0 or count / rows <= one.share
                elif isinstance(one, LoadExpression):
                    holds = backend.holds(one.sql, self._figures(inspection))
                else:
                    holds = count == 0
                results.append(_result(key, rule.severity, count, rows, holds=holds))
        for (code, column, wrong), count in sorted(left.items(), key=lambda item: str(item[0])):
            words = f"{column} {wrong}" if column else wrong
            results.append(_result((code, column, words), "quarantine", count, rows, holds=False))
        return results

    def _figures(self, inspection: Inspection) -> dict[str, int]:
        return dict.fromkeys(LOAD_NAMES, 0) | {
            "rows": inspection.rows,
            "rows_read": inspection.rows + inspection.filtered,
            "rows_quarantined": inspection.violating,
            "rows_filtered": inspection.filtered,
        }

    def _status(self, inspection: Inspection, results: tuple[RuleResult, ...]) -> QualityStatus:
        if any(one.severity == "fail" and not one.holds for one in results):
            return "failed"
        if not self.check.max_violations.allows(
            rejected=inspection.violating, read=inspection.rows
        ):
            return "failed"
        return "passed" if all(one.holds for one in results) else "passed_with_warnings"


def _result(key: Broken, severity: str, count: int, rows: int, *, holds: bool) -> RuleResult:
    code, column, rule = key
    return RuleResult(
        rule=rule,
        code=code,
        column=column,
        severity=severity,
        holds=holds,
        violations=count,
        share=round(count / rows, 6) if rows else 0.0,
    )


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]
