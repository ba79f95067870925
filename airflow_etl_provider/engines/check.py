"""Validate a pipeline without loading: names, types and expressions, then the first records."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.expressions import parse_expression
from airflow_etl_provider.contracts.files import resolve_mapping
from airflow_etl_provider.contracts.rules import LoadExpression, RowExpression
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.select import parse_select
from airflow_etl_provider.engines.batch import EngineOptions
from airflow_etl_provider.engines.planner import build_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.contracts.connection import Connections
    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.mapping import MappingContract
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.reject import Reject
    from airflow_etl_provider.engines.plan import Plan
    from airflow_etl_provider.engines.sources.base import Account, Scan
    from airflow_etl_provider.exceptions import EtlError

__all__ = ["CheckReport", "check_pipeline"]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found; the counts are of the dry run's records, 0 without one.

    :param reasons: rejected records by reason code and column.
    """

    warnings: tuple[str, ...]
    rows: int = 0
    rows_good: int = 0
    rows_rejected: int = 0
    rows_filtered: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


def check_pipeline(
    pipeline: Pipeline,
    *,
    connections: Connections,
    base: Path | None = None,
    options: EngineOptions | None = None,
    rows: int = 0,
) -> CheckReport:
    """Validate what can be validated; with `rows`, also on that many first records of the source.

    Without `rows` no connection is opened and no file but the contract is read. Nothing is written.

    :raises EtlError: the pipeline can't work, or (with `rows`) its source or target can't be read.
    """
    if pipeline.select is not None:
        parse_select(pipeline.select, inputs=pipeline.inputs)
    without_interval = pipeline.model_copy(
        update={"source": pipeline.source.model_copy(update={"incremental": None})}
    )
    contract = resolve_mapping(pipeline, base)
    warnings = tuple(_null_warnings(pipeline))
    if rows <= 0:
        _check_dry(without_interval, contract)
        return CheckReport(warnings)
    return _check_on_records(
        without_interval,
        connections=connections,
        base=base,
        options=options or EngineOptions(),
        rows=rows,
        warnings=warnings,
    )


def _check_dry(pipeline: Pipeline, contract: MappingContract | None) -> None:
    if contract is not None and contract.source.fields:
        source = Schema(tuple(Field(n, of) for n, of in contract.source.fields.items()))
        _bind(build_plan(pipeline, contract, source=source, target=None, window=None))
        return
    # Without the source's fields only the grammar of what people wrote can be checked.
    if pipeline.filter is not None:
        parse_expression(pipeline.filter, kind="filter")
    for rule in pipeline.rules:
        for check in rule.checks:
            if isinstance(check, RowExpression):
                parse_expression(check.sql, kind="rule")
            elif isinstance(check, LoadExpression):
                parse_expression(check.sql, kind="load")


def _bind(plan: Plan) -> None:
    from airflow_etl_provider.engines.backends.duckdb.backend import DuckDbBackend
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession

    with ComputeSession(memory_limit=2**26, threads=1, columns=plan.width) as compute:
        DuckDbBackend(plan, session=compute)


def _check_on_records(
    pipeline: Pipeline,
    *,
    connections: Connections,
    base: Path | None,
    options: EngineOptions,
    rows: int,
    warnings: tuple[str, ...],
) -> CheckReport:
    from airflow_etl_provider.engines.backends.duckdb.backend import DuckDbBackend
    from airflow_etl_provider.engines.backends.duckdb.session import ComputeSession
    from airflow_etl_provider.engines.preparation import prepare

    reasons: Counter[str] = Counter()
    seen = good = rejected = filtered = unread = 0
    with ExitStack() as stack:
        prepared = prepare(
            pipeline,
            connections=connections,
            base=base,
            window=None,
            options=options,
            run_id="check",
            stack=stack,
        )
        compute = stack.enter_context(
            ComputeSession(
                memory_limit=options.memory_limit,
                threads=options.threads,
                scratch=options.scratch,
                columns=prepared.width,
            )
        )
        backend = DuckDbBackend(prepared.plan, session=compute)
        # A select of samples would say nothing: its inputs are read whole, and nothing is kept.
        for taken in prepared.taken(compute.connection, cancelled=lambda: False) or ():
            for reject in taken.rejects:
                unread += 1
                reasons.update({reason.label for reason in reject.reasons})
        for number, input in enumerate(prepared.source.inputs):
            scan = prepared.source.scan(input)
            stack.callback(scan.close)
            for verdict in backend.judge(_Head(scan, rows - seen), number=number):
                seen += verdict.seen
                good += verdict.good.num_rows
                filtered += verdict.filtered
                rejected += len(verdict.failed)
                for row in verdict.failed:
                    reasons.update({prepared.plan.row_checks[c].label for c in row.checks})
            if seen >= rows:
                break
    return CheckReport(
        warnings,
        seen + unread,
        good,
        rejected + unread,
        filtered,
        dict(reasons.most_common()),
    )


class _Head:
    """The first rows of a scan, which is never read to its end and so keeps no account."""

    def __init__(self, scan: Scan, rows: int) -> None:
        self._scan = scan
        self._rows = rows

    @property
    def input(self) -> InputIdentity:
        return self._scan.input

    @property
    def careful(self) -> bool:
        return self._scan.careful

    @property
    def failure(self) -> EtlError | None:
        return self._scan.failure

    def relation(self, connection: DuckDBPyConnection) -> str:
        from sqlglot import exp

        view = self._scan.relation(connection)
        head = exp.select(exp.Star()).from_(exp.to_table(view)).limit(self._rows)
        create = exp.Create(
            this=exp.to_table("check_head"), kind="VIEW", replace=True, expression=head
        )
        connection.execute(create.sql(dialect="duckdb"))
        return "check_head"

    def account(self, *, rows_seen: int) -> Account:
        return self._scan.account(rows_seen=rows_seen)

    def rejects(self) -> Iterator[Reject]:
        return self._scan.rejects()

    def record_numbers(self, rows: list[int]) -> list[int]:
        return self._scan.record_numbers(rows)

    def raw(self, fields: dict[str, str | None]) -> bytes:
        return self._scan.raw(fields)

    def close(self) -> None:
        self._scan.close()


def _null_warnings(pipeline: Pipeline) -> list[str]:
    """A NULL in a filter keeps no row, in a rule it passes: say so where nothing handles it."""
    conditions = [("filter", pipeline.filter, "drops the row")] + [
        ("rule", check.sql, "passes the rule")
        for rule in pipeline.rules
        for check in rule.checks
        if isinstance(check, RowExpression)
    ]
    warnings = []
    for what, sql, effect in conditions:
        if sql is None:
            continue
        parsed = parse_expression(sql, kind="filter" if what == "filter" else "rule")
        if parsed.columns and not _handles_null(sql):
            warnings.append(
                f"{what} {sql!r}: a NULL in {', '.join(sorted(parsed.columns))} {effect}. Use "
                "`is distinct from`, `coalesce` or `is null` where that is not meant."
            )
    return warnings


def _handles_null(sql: str) -> bool:
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sql, read="duckdb")
    return tree.find(exp.NullSafeEQ, exp.NullSafeNEQ, exp.Coalesce, exp.Is, exp.Null) is not None
