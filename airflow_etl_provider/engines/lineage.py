"""Which field each column comes from, and which fields decide what rows arrive.

The words are OpenLineage's, whose column lineage facet this becomes:
https://openlineage.io/docs/spec/facets/dataset-facets/column_lineage_facet
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from airflow_etl_provider.contracts.conversions import (
    ConstantValue,
    Hash,
    Identity,
    Mask,
    Sql,
    Uuid5,
)
from airflow_etl_provider.contracts.expressions import parse_expression

if TYPE_CHECKING:
    from sqlglot import exp

    from airflow_etl_provider.contracts.load import InputIdentity
    from airflow_etl_provider.contracts.schema import Schema
    from airflow_etl_provider.engines.datasets import Dataset
    from airflow_etl_provider.engines.plan import Plan, PlannedColumn, Step

__all__ = [
    "Flow",
    "InputField",
    "Lineage",
    "Origins",
    "SourceSide",
    "Subtype",
    "Use",
    "children",
    "is_hiding",
    "lineage_of",
    "origins_in",
]

Subtype = Literal[
    "IDENTITY",
    "TRANSFORMATION",
    "AGGREGATION",
    "CONDITIONAL",
    "FILTER",
    "GROUP_BY",
    "JOIN",
    "SORT",
    "WINDOW",
]

DIRECT: tuple[Subtype, ...] = ("IDENTITY", "TRANSFORMATION", "AGGREGATION")
"""The value is made of the field's. With all others the field only decides."""

HIDING = (Hash, Mask, Uuid5)
"""Conversions after which the value can't be seen any more."""

HIDING_FUNCTIONS = frozenset({"md5", "sha256"})


@dataclass(frozen=True, slots=True)
class Use:
    """One way in which a value depends on a field.

    :param words: the conversions on the way; never their parameters, which may be values.
    """

    subtype: Subtype
    masking: bool = False
    words: tuple[str, ...] = ()

    @property
    def type(self) -> Literal["DIRECT", "INDIRECT"]:
        return "DIRECT" if self.subtype in DIRECT else "INDIRECT"

    def then(self, other: Use) -> Use:
        """What becomes of it where the value goes on by way of `other`."""
        words = (*self.words, *other.words)
        masking = self.masking or other.masking
        for use in (self, other):
            if use.subtype not in DIRECT:
                return Use(use.subtype, masking, words)
        for subtype in ("AGGREGATION", "TRANSFORMATION"):
            if subtype in (self.subtype, other.subtype):
                return Use(subtype, masking, words)
        return Use("IDENTITY", masking, words)


@dataclass(frozen=True, slots=True)
class InputField:
    """A field of a dataset, with all the ways in which it is used."""

    dataset: Dataset
    field: str
    uses: tuple[Use, ...]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Where the target's columns come from.

    :param columns: each column that is filled; one that no field fills (a constant) has none.
    :param rows: fields that decide which rows arrive: filter, data interval, the newest of a key.
    """

    columns: dict[str, tuple[InputField, ...]]
    rows: tuple[InputField, ...]


Origins = Mapping[str, tuple[InputField, ...]]
"""Where each field of a plan's source comes from. Of files each is a field of theirs; the fields of
a `select` over several inputs are made of these inputs' fields."""


@dataclass(frozen=True, slots=True)
class SourceSide:
    """A dataset that a run reads, and the inputs (files) of it that it takes.

    :param name: what a select calls it.
    """

    dataset: Dataset
    schema: Schema
    inputs: tuple[InputIdentity, ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """What a run reads and writes, as its plan settles it before the first row."""

    plan: Plan
    sources: tuple[SourceSide, ...]
    target: Dataset
    load_columns: bool
    select: str | None = None

    @property
    def lineage(self) -> Lineage:
        """Where the target's columns come from.

        :raises SpecificationError: the columns of the select can't be followed.
        """
        if self.select is None:
            (source,) = self.sources
            return lineage_of(self.plan, origins=origins_in(source.dataset, source.schema))
        from airflow_etl_provider.engines.relational.lineage import select_lineage

        origins, rows = select_lineage(
            self.select,
            inputs={source.name: source for source in self.sources},
            columns=self.plan.source.names,
        )
        found = lineage_of(self.plan, origins=origins)
        return replace(found, rows=(*rows, *found.rows))


Uses = dict[str, tuple[Use, ...]]
"""By the name of a field of the plan's source."""


def origins_in(dataset: Dataset, schema: Schema) -> Origins:
    """The fields of one dataset, as they are."""
    return {field.name: (InputField(dataset, field.name, (Use("IDENTITY"),)),) for field in schema}


def lineage_of(plan: Plan, *, origins: Origins) -> Lineage:
    """Follow each column of a plan back to the fields that it is made of."""
    uses = {column.name: _column_uses(plan.source, column) for column in plan.columns}
    return Lineage(
        columns={name: _fields(found, origins) for name, found in uses.items()},
        rows=_fields(_row_uses(plan, uses), origins),
    )


def _column_uses(source: Schema, column: PlannedColumn) -> Uses:
    uses: Uses = {source.fields[at].name: (Use("IDENTITY"),) for at in column.inputs}
    for number, step in enumerate(column.steps):
        uses = _after(step, uses, source=source if number == 0 else None)
    if column.when is not None:
        uses = _merged(uses, _names_in(column.when, source, Use("CONDITIONAL", words=("when",))))
    return uses


def _after(step: Step, uses: Uses, *, source: Schema | None) -> Uses:
    """What a step makes of what its inputs depend on.

    :param source: what an SQL expression names in the first step; later it names `value`.
    """
    conversion = step.conversion
    if isinstance(conversion, Identity):
        return uses
    if isinstance(conversion, ConstantValue):
        return {}
    if isinstance(conversion, Sql):
        tree = parse_expression(conversion.sql, kind="conversion").tree
        found = _expression_uses(tree)
        if source is not None:
            return _resolved(found, source)
        value = [use for name, made in found.items() if name.lower() == "value" for use in made]
        return _through(uses, value)
    masking = isinstance(conversion, HIDING)
    return _through(uses, [Use("TRANSFORMATION", masking, (step.word,))])


def _through(uses: Uses, steps: Iterable[Use]) -> Uses:
    steps = tuple(steps)
    made = {
        name: tuple(dict.fromkeys(use.then(step) for step in steps for use in found))
        for name, found in uses.items()
    }
    return {name: found for name, found in made.items() if found}


def _row_uses(plan: Plan, columns: Mapping[str, Uses]) -> Uses:
    rows: Uses = {}
    if plan.filter is not None:
        rows = _merged(rows, _names_in(plan.filter, plan.source, Use("FILTER", words=("filter",))))
    if plan.interval is not None:
        by = Use("FILTER", words=("incremental",))
        of_target = plan.interval.scope == "target"
        within = columns[plan.interval.column] if of_target else {plan.interval.column: ()}
        rows = _merged(rows, dict.fromkeys(within, (by,)))
    if plan.deletes is not None:
        by = Use("FILTER", words=("deletes",))
        rows = _merged(rows, _names_in(plan.deletes.when, plan.source, by))
    for unique in plan.unique_keys:
        if unique.latest_by is not None:
            by = Use("WINDOW", words=("latest_by",))
            for name in (*unique.columns, unique.latest_by):
                rows = _merged(rows, dict.fromkeys(columns[name], (by,)))
    return rows


def _names_in(sql: str, source: Schema, use: Use) -> Uses:
    names = parse_expression(sql, kind="filter").columns
    return _resolved(dict.fromkeys(names, (use,)), source)


def _resolved(uses: Uses, source: Schema) -> Uses:
    """The same under the fields' own names: SQL takes no notice of letter case."""
    by_name = {name.lower(): name for name in reversed(source.names)}
    resolved: Uses = {}
    for name, found in uses.items():
        own = name if name in source else by_name.get(name.lower())
        if own is not None:
            resolved = _merged(resolved, {own: found})
    return resolved


def _expression_uses(tree: exp.Expr) -> Uses:
    """Tell the columns that a value is made of from those that only decide which it is."""
    from sqlglot import exp

    bare = tree.unnest()
    if isinstance(bare, exp.Column):
        return {bare.name: (Use("IDENTITY", words=("sql",)),)}
    uses: Uses = {}
    for name, use in _walk(bare, Use("TRANSFORMATION", words=("sql",))):
        uses = _merged(uses, {name: (use,)})
    return uses


def _walk(node: exp.Expr, use: Use) -> Iterator[tuple[str, Use]]:
    from sqlglot import exp

    if isinstance(node, exp.Column):
        yield node.name, use
        return
    if isinstance(node, exp.Func) and is_hiding(node):
        use = replace(use, masking=True)
    decides = Use("CONDITIONAL", use.masking, use.words)
    for key, child in children(node):
        deciding = (isinstance(node, exp.Case | exp.If) and key == "this") or (
            isinstance(node, exp.Nullif) and key == "expression"
        )
        yield from _walk(child, decides if deciding else use)


def children(node: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    """The nodes below a node, each with what it is to it."""
    from sqlglot import exp

    for key, value in node.args.items():
        for child in value if isinstance(value, list) else (value,):
            if isinstance(child, exp.Expr):
                yield key, child


def is_hiding(node: exp.Func) -> bool:
    """Whether a function's argument can't be seen in its value."""
    from sqlglot import exp

    name = str(node.this) if isinstance(node, exp.Anonymous) else type(node).sql_name()
    return name.lower() in HIDING_FUNCTIONS or isinstance(node, exp.MD5 | exp.SHA2)


def _merged(uses: Uses, others: Uses) -> Uses:
    """All ways of both, each once."""
    merged = dict(uses)
    for name, found in others.items():
        merged[name] = tuple(dict.fromkeys((*merged.get(name, ()), *found)))
    return merged


def _fields(uses: Uses, origins: Origins) -> tuple[InputField, ...]:
    """From fields of the plan's source to those of the datasets."""
    found: dict[tuple[Dataset, str], tuple[Use, ...]] = {}
    for name, ways in uses.items():
        for origin in origins.get(name, ()):
            key = (origin.dataset, origin.field)
            made = [first.then(way) for way in ways for first in origin.uses]
            found[key] = tuple(dict.fromkeys((*found.get(key, ()), *made)))
    return tuple(InputField(dataset, field, ways) for (dataset, field), ways in found.items())
