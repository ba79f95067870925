"""From a pipeline and its contract to a plan: names resolved, types settled, checks listed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.conversions import read_conversion
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.interval import plan_interval
from airflow_etl_provider.engines.plan import (
    DeleteNotComputed,
    Deletes,
    DoesNotFit,
    Duplicate,
    IsNull,
    NotComputed,
    NotConverted,
    OutsideInterval,
    Plan,
    PlannedColumn,
    RowCheck,
    Step,
    UniqueKey,
    Unstorable,
)
from airflow_etl_provider.engines.planned_rules import near, plan_rules
from airflow_etl_provider.exceptions import SpecificationError, TargetSchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_etl_provider.contracts.mapping import ColumnMapping, MappingContract
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.schema import Limit
    from airflow_etl_provider.engines.batch import Window
    from airflow_etl_provider.engines.high_mark import High
    from airflow_etl_provider.engines.plan import Interval, Test

__all__ = ["build_plan"]


def build_plan(
    pipeline: Pipeline,
    contract: MappingContract,
    *,
    source: Schema,
    target: Schema | None,
    window: Window | None,
    limit_of: Callable[[LogicalType], Limit | None] = lambda _: None,
    high: High | None = None,
) -> Plan:
    """Settle what happens to every record.

    :param source: what the source gives.
    :param target: the table as it is, None when it will be created from the contract.
    :param limit_of: what a column that is created for a type can't hold.
    :param high: what was loaded last, where the pipeline goes by a column.
    :raises SpecificationError: a name, type or rule does not fit, or the window is missing.
    :raises TargetSchemaError: the contract fills a column that the table does not have.
    """
    columns: list[PlannedColumn] = []
    checks: list[RowCheck] = []
    for name, mapping in contract.columns.items():
        stored = _stored_field(pipeline, contract, name, target, limit_of)
        planner = _ColumnPlanner(source, position=len(columns))
        columns.append(planner.plan(name, mapping, contract.target.fields[name], stored))
        checks += planner.checks
    if pipeline.filter is not None:
        message = "the filter can't be computed"
        checks.append(
            RowCheck("not_computed", None, "filter", message, "quarantine", NotComputed(None))
        )
    if pipeline.target.deletes is not None:
        message = "whether the record deletes can't be computed"
        checks.append(
            RowCheck("not_computed", None, "deletes", message, "quarantine", DeleteNotComputed())
        )
    schema = _target_schema(pipeline, columns, target)
    for at, field in enumerate(schema):
        if not field.nullable:
            reason = (
                "the key needs a value" if field.name in pipeline.target.key else "it is not null"
            )
            checks.append(_null_check(field.name, at, reason))
    interval = plan_interval(pipeline, source=source, target=schema, window=window, high=high)
    if interval is not None:
        what = "is null or of no year up to 9999" if interval.marked else "is null"
        checks.append(
            RowCheck(
                code="null_not_allowed",
                column=interval.column,
                step=None,
                message=f"the column of `incremental` {what}; no run would take the record",
                severity="quarantine",
                test=OutsideInterval(),
            )
        )
    rules = plan_rules(
        pipeline.rules, schema=schema, mode=pipeline.target.mode, key=pipeline.target.key
    )
    return Plan(
        source=source,
        target=schema,
        columns=tuple(columns),
        filter=pipeline.filter,
        interval=interval,
        row_checks=(*checks, *rules.row_checks),
        unique_keys=(*_merge_key(pipeline), *rules.unique_keys),
        load_checks=rules.load_checks,
        lookups=rules.lookups,
        deletes=_deletes(pipeline, schema, interval),
    )


def _deletes(pipeline: Pipeline, schema: Schema, interval: Interval | None) -> Deletes | None:
    wanted = pipeline.target
    if wanted.deletes is None:
        return None
    needed = {*wanted.key, wanted.latest_by}
    if interval is not None and interval.scope == "target":
        needed.add(interval.column)
    places = frozenset(at for at, name in enumerate(schema.names) if name in needed)
    return Deletes(wanted.deletes.when, needs=places)


def _null_check(column: str, at: int, reason: str) -> RowCheck:
    return RowCheck("null_not_allowed", column, None, reason, "quarantine", IsNull(at))


def _stored_field(
    pipeline: Pipeline,
    contract: MappingContract,
    name: str,
    target: Schema | None,
    limit_of: Callable[[LogicalType], Limit | None],
) -> Field:
    if target is None:
        of = contract.target.fields[name]
        nullable = name not in pipeline.target.key
        return Field(name, of, nullable=nullable, limit=limit_of(of))
    if name not in target:
        raise TargetSchemaError(
            f"Contract {contract.contract!r} fills column {name!r}, which the target table "
            f"{pipeline.target.table or pipeline.target.location} does not have."
            f"{near(name, target.names)}",
            hint="Add the column to the table, or take it out of the contract.",
        )
    return target[name]


def _target_schema(
    pipeline: Pipeline, columns: list[PlannedColumn], target: Schema | None
) -> Schema:
    wanted = pipeline.target
    for key in (*wanted.key, *wanted.partition_by, *filter(None, [wanted.latest_by])):
        if all(column.name != key for column in columns):
            raise SpecificationError(
                f"target.key, partition_by or latest_by of pipeline {pipeline.pipeline!r} names "
                f"{key!r}, which no column fills.{near(key, [column.name for column in columns])}"
            )
    return Schema(
        tuple(
            Field(
                column.name,
                column.type,
                nullable=column.name not in pipeline.target.key
                and (target is None or target[column.name].nullable),
            )
            for column in columns
        )
    )


_UNSTORABLE: dict[Limit, str] = {
    "text": "text with a NUL character, which the target can't hold",
    "jsonb": "JSON with \\u0000 in it, or with a number of too many digits for the target",
    "date": "a date outside of the target's range",
    "timestamp": "a time outside of the target's range",
}

_CARRYING = frozenset(
    {
        "identity",
        "cast",
        "trim",
        "normalize_space",
        "upper",
        "lower",
        "title",
        "null_words",
        "nullif",
        "substring",
        "split_part",
    }
)
"""Conversions whose text is made of their input's characters, or names no other."""


@dataclass(slots=True)
class _ColumnPlanner:
    """Plans one column; `checks` are the ways in which its value can fail."""

    source: Schema
    position: int
    checks: list[RowCheck] = None  # type: ignore[assignment]

    def plan(
        self, name: str, mapping: ColumnMapping, wanted: LogicalType, stored: Field
    ) -> PlannedColumn:
        self.checks = []
        if mapping.when is not None:
            self._add(
                "not_computed", name, "when", "`when` can't be computed", NotComputed(self.position)
            )
        inputs = tuple(self._input(name, source) for source in mapping.from_)
        steps: list[Step] = []
        types = tuple(self.source.fields[i].type for i in inputs)
        for number, conversion in enumerate(mapping.convert):
            output = self._output(name, conversion, types, wanted)
            steps.append(Step(conversion, types, output, conversion.name))
            if conversion.fallible:
                self._may_fail(name, mapping, number, conversion.name, "not_converted")
            types = (output,)
        if len(types) != 1:
            raise SpecificationError(
                f"Column {name!r} takes {len(types)} source fields; say how they become one value "
                "(`convert: concat`, `template`, `coalesce`, `sql`)."
            )
        self._settle(name, mapping, steps, types[0], stored)
        if stored.type.kind == "string" and stored.type.length is not None:
            self._add(
                "out_of_range",
                name,
                None,
                f"longer than the {stored.type.length} characters that the target holds",
                DoesNotFit(self.position, stored.type.length),
            )
        if stored.limit is not None and not self._is_free_of_nul(stored.limit, inputs, steps):
            words = _UNSTORABLE[stored.limit]
            self._add("out_of_range", name, None, words, Unstorable(self.position, stored.limit))
        return PlannedColumn(
            name=name,
            type=stored.type,
            inputs=inputs,
            steps=tuple(steps),
            when=mapping.when,
            on_failure=mapping.on_failure,
            default=mapping.default,
        )

    def _is_free_of_nul(self, limit: Limit, inputs: tuple[int, ...], steps: list[Step]) -> bool:
        """Whether source and steps make sure that no NUL gets there: a test less for each row."""
        return (
            limit == "text"
            and all(self.source.fields[i].nul_free for i in inputs)
            and all(step.conversion.name in _CARRYING for step in steps)
        )

    def _settle(
        self,
        name: str,
        mapping: ColumnMapping,
        steps: list[Step],
        reached: LogicalType,
        stored: Field,
    ) -> None:
        """Add the last cast where what the steps reached is not what the target stores."""
        if _plain(reached) == _plain(stored.type):
            return
        cast = read_conversion("cast")
        if not mapping.convert and reached.kind != stored.type.kind and not reached.is_number:
            raise SpecificationError(
                f"Column {name!r} is {stored.type} in the target and comes from {reached} without "
                "a conversion. Write `convert: cast`, or another conversion that makes "
                f"{stored.type}."
            )
        output = self._output(name, cast, (reached,), stored.type)
        steps.append(Step(cast, (reached,), output, "cast"))
        if cast.fallible:
            self._may_fail(name, mapping, len(steps) - 1, "cast", "out_of_range")

    def _input(self, column: str, source: str) -> int:
        try:
            return self.source.names.index(source)
        except ValueError:
            raise SpecificationError(
                f"Column {column!r} comes from source field {source!r}, which the source does not "
                f"have.{near(source, self.source.names)} Its fields: {_some(self.source.names)}."
            ) from None

    def _output(
        self, name: str, conversion: object, types: tuple[LogicalType, ...], wanted: LogicalType
    ) -> LogicalType:
        try:
            output: LogicalType = conversion.output_type(types, wanted)  # type: ignore[attr-defined]
        except SpecificationError as error:
            raise type(error)(f"Column {name!r}: {error}") from error
        return output

    def _may_fail(
        self, name: str, mapping: ColumnMapping, number: int, word: str, code: str
    ) -> None:
        test = NotConverted(self.position, number)
        if mapping.on_failure == "reject":
            self._add(code, name, word, f"does not convert by {word}", test)
        else:
            message = f"does not convert by {word}; became {mapping.on_failure}"
            self.checks.append(RowCheck("on_failure", name, word, message, "warn", test))

    def _add(self, code: str, name: str, word: str | None, message: str, test: Test) -> None:
        self.checks.append(RowCheck(code, name, word, message, "quarantine", test))


def _plain(of: LogicalType) -> LogicalType:
    """Text is text for the engine; how long it may be is a check of its own."""
    return LogicalType("string") if of.kind == "string" else of


def _merge_key(pipeline: Pipeline) -> Iterator[UniqueKey]:
    if pipeline.target.mode != "merge":
        return
    key, latest_by = pipeline.target.key, pipeline.target.latest_by
    check = None
    if latest_by is None:
        words = f"the key ({', '.join(key)}) occurs earlier in the same load"
        check = RowCheck("duplicate_key", ",".join(key), None, words, "quarantine", Duplicate(key))
    yield UniqueKey(key, latest_by, check, with_deletes=True)


def _some(names: tuple[str, ...], most: int = 20) -> str:
    shown = ", ".join(names[:most])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > most else shown
