"""What a run does where the source or the table is no longer what was agreed on.

What was agreed on is the contract's `source.fields` and `target.fields`, or by name the table
itself. Everything is settled before the first record is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.conversions import cast_refusal, read_conversion
from airflow_etl_provider.contracts.drift import (
    FieldAdded,
    FieldRemoved,
    FingerprintChanged,
    TypeChanged,
    compare_schemas,
    contains,
    widened,
)
from airflow_etl_provider.contracts.expressions import parse_expression
from airflow_etl_provider.contracts.load import LOAD_COLUMNS
from airflow_etl_provider.contracts.mapping import ColumnMapping
from airflow_etl_provider.contracts.report import SchemaChange
from airflow_etl_provider.contracts.schema import Field, Schema
from airflow_etl_provider.engines.sources.padded import PaddedSource
from airflow_etl_provider.exceptions import SchemaDriftError, SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_etl_provider.contracts.drift import Change
    from airflow_etl_provider.contracts.mapping import MappingContract
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.contracts.types import LogicalType
    from airflow_etl_provider.engines.sources.base import Source

__all__ = ["Evolution", "expected_fields", "settle_evolution"]

MOST_TOLD = 20
"""Changes that a message names; the error has them all."""


@dataclass(frozen=True, slots=True)
class Evolution:
    """Contract, source and table as the run takes them, and what has to be altered first.

    :param target: the table as it will be; None where the load makes it.
    :param add_columns: new nullable columns.
    :param widen_columns: columns with the wider types that they get.
    """

    contract: MappingContract
    source: Source
    target: Schema | None
    add_columns: tuple[Field, ...] = ()
    widen_columns: tuple[Field, ...] = ()
    changes: tuple[SchemaChange, ...] = ()


def expected_fields(contract: MappingContract | None) -> Schema | None:
    """The fields of the source that a contract lists, if it lists any."""
    if contract is None or not contract.source.fields:
        return None
    return Schema(tuple(Field(name, of) for name, of in contract.source.fields.items()))


def settle_evolution(
    pipeline: Pipeline,
    contract: MappingContract,
    *,
    by_name: bool,
    source: Source,
    target: Schema | None,
) -> Evolution:
    """Do what `schema_evolution` says about each difference.

    :param by_name: nobody wrote the contract: it follows from source and table.
    :param target: the table as it is, None where the load makes it.
    :raises SchemaDriftError: something differs, and the policy is to stop, or nothing else can be
        done about it.
    """
    policy = pipeline.schema_evolution or ("discard" if by_name else "review")
    if policy == "discard":
        return Evolution(contract, source, target)
    if not by_name:
        _require_fields(contract, policy)
    drift = (_DriftByName if by_name else _DriftOfContract)(contract, source, target)
    if policy == "evolve":
        return _Evolver(pipeline, contract, source, target).evolve(drift)
    changes = drift.changes(strict=policy == "freeze")
    if changes:
        raise _stopped(pipeline, contract, policy, changes, by_name=by_name)
    return Evolution(contract, source, target)


def _require_fields(contract: MappingContract, policy: str) -> None:
    """Refuse a policy for which the contract does not say enough."""
    agreed = contract.source.fields or (policy == "freeze" and contract.source.fingerprint)
    if policy != "review" and not agreed:
        raise SpecificationError(
            f"schema_evolution: {policy} compares the source with the fields that contract "
            f"{contract.contract!r} lists, and it lists none.",
            hint="Write them under `source: { fields: { name: type, ... } }`.",
        )


@dataclass(slots=True)
class _DriftByName:
    """The source against the table."""

    contract: MappingContract
    source: Source
    target: Schema | None

    def changes(self, *, strict: bool) -> tuple[Change, ...]:
        return (*self.added(), *self.removed(), *self.changed())

    def added(self) -> list[FieldAdded]:
        if self.target is None:
            return []
        names = self.contract.unmapped.source
        return [FieldAdded(name, _best_type(self.source, name)) for name in names]

    def removed(self) -> list[FieldRemoved]:
        """Columns that only the source could fill."""
        return [
            FieldRemoved(column.name, column.type)
            for column in self.target or ()
            if column.name in self.contract.unmapped.target and not column.has_default
        ]

    def changed(self) -> list[TypeChanged]:
        found = []
        for column, mapping in self.contract.columns.items():
            if self.target is None:
                break
            held = self.target[column].type
            change = TypeChanged(column, held, _type_shown(self.source, mapping.from_[0], held))
            if change.widens:
                found.append(change)
        return found


@dataclass(slots=True)
class _DriftOfContract:
    """Source and table against the fields that the contract lists."""

    contract: MappingContract
    source: Source
    target: Schema | None

    def changes(self, *, strict: bool) -> tuple[Change, ...]:
        """Tell every difference.

        :param strict: also where the table differs.
        """
        found: list[Change] = [*self.added(), *self.removed(), *self.changed()]
        was, now = self.contract.source.fingerprint, self.source.schema.fingerprint
        if not self.contract.source.fields and was is not None and not now.startswith(was):
            found.append(FingerprintChanged(was, now))
        return (*found, *(self._of_table() if strict else ()))

    def added(self) -> list[FieldAdded]:
        left_out = self.contract.unmapped.source
        return [
            FieldAdded(change.name, _best_type(self.source, change.name))
            for change in self._compared()
            if isinstance(change, FieldAdded) and change.name not in left_out
        ]

    def removed(self) -> list[FieldRemoved]:
        return [change for change in self._compared() if isinstance(change, FieldRemoved)]

    def changed(self) -> list[TypeChanged]:
        return [change for change in self._compared() if isinstance(change, TypeChanged)]

    def _compared(self) -> tuple[Change, ...]:
        known = expected_fields(self.contract)
        return compare_schemas(known, self.source.schema) if known is not None else ()

    def _of_table(self) -> list[Change]:
        if self.target is None:
            return []
        wanted = {name: self.contract.target.fields[name] for name in self.contract.columns}
        known = {*wanted, *self.contract.unmapped.target, *LOAD_COLUMNS}
        was = Schema(tuple(Field(name, of) for name, of in wanted.items()))
        now = Schema(
            tuple(
                column
                for column in self.target
                if column.name in known - set(self.contract.unmapped.target) - set(LOAD_COLUMNS)
                or (column.name not in known and not column.has_default)
            )
        )
        return list(compare_schemas(was, now))


class _Evolver:
    """Lets table and contract follow the source; never narrows and never drops."""

    def __init__(
        self,
        pipeline: Pipeline,
        contract: MappingContract,
        source: Source,
        target: Schema | None,
    ) -> None:
        self._pipeline = pipeline
        self._contract = contract
        self._source = source
        self._held = None if target is None else {column.name: column for column in target}
        self._table = None if self._held is None else dict(self._held)
        self._columns = dict(contract.columns)
        self._types = dict(contract.target.fields)
        self._new: dict[str, None] = {}

    def evolve(self, drift: _DriftByName | _DriftOfContract) -> Evolution:
        lost, source = drift.removed(), self._source
        if isinstance(drift, _DriftByName):
            for changed in drift.changed():
                self._widen(changed.name, changed.now)
        else:
            self._follow_contract()
            self._check_lost(lost)
            for changed in drift.changed():
                self._follow_type(changed)
            if lost:
                missing = tuple(Field(change.name, change.type) for change in lost)
                source = PaddedSource(self._source, missing)
        for added in drift.added():
            self._take_in(added)
        return Evolution(
            contract=self._evolved_contract(by_name=isinstance(drift, _DriftByName)),
            source=source,
            target=None if self._table is None else Schema(tuple(self._table.values())),
            add_columns=tuple(self._table[name] for name in self._new) if self._table else (),
            widen_columns=tuple(column for column, _ in self._widened()),
            changes=(
                *(SchemaChange("column_added", n, str(self._types[n])) for n in self._new),
                *(
                    SchemaChange("column_widened", column.name, str(column.type), str(was))
                    for column, was in self._widened()
                ),
                *(SchemaChange("field_missing", one.name, str(one.type)) for one in lost),
            ),
        )

    def _widened(self) -> list[tuple[Field, LogicalType]]:
        held = self._held or {}
        return [
            (column, held[name].type)
            for name, column in (self._table or {}).items()
            if name in held and held[name].type != column.type
        ]

    def _evolved_contract(self, *, by_name: bool) -> MappingContract:
        contract, unmapped = self._contract, self._contract.unmapped
        if by_name:
            left = tuple(name for name in unmapped.source if name not in self._columns)
            unmapped = unmapped.model_copy(update={"source": left})
        target = contract.target.model_copy(update={"fields": self._types})
        return contract.model_copy(
            update={"columns": self._columns, "unmapped": unmapped, "target": target}
        )

    def _take_in(self, added: FieldAdded) -> None:
        """Map a new field to the column of its name, which is added where it is not there."""
        name, given = added.name, self._source.schema[added.name].type
        if name in self._types or name in LOAD_COLUMNS:
            return
        column = None if self._table is None else self._table.get(name)
        wanted = added.type if column is None else column.type
        if cast_refusal(given, wanted):
            return
        self._columns[name] = ColumnMapping(
            from_=(name,), convert=() if given == wanted else (read_conversion("cast"),)
        )
        self._types[name] = wanted
        if column is None:
            self._add(name)

    def _add(self, name: str) -> None:
        self._new[name] = None
        if self._table is not None:
            self._table[name] = Field(name, self._types[name])

    def _follow_contract(self) -> None:
        """Give the table the columns that the contract fills, as wide as it says."""
        table = self._table
        for name in self._columns if table is not None else ():
            if table is not None and name not in table:
                self._add(name)
            self._widen(name, self._types[name])

    def _follow_type(self, change: TypeChanged) -> None:
        """Widen what takes the field as it is; what is computed of it has a type of its own."""
        for name, mapping in self._columns.items():
            plain = all(step.name in ("identity", "cast") for step in mapping.convert)
            took_all = contains(self._types[name], change.was)
            wider = widened(self._types[name], change.now)
            if mapping.from_ == (change.name,) and plain and took_all and wider is not None:
                self._types[name] = wider
                self._widen(name, wider)

    def _widen(self, name: str, coming: LogicalType) -> None:
        column = None if self._table is None else self._table.get(name)
        if self._table is None or column is None:
            return
        wider = widened(column.type, coming)
        if wider is not None and wider != column.type:
            self._table[name] = replace(column, type=wider)
            self._types[name] = wider

    def _check_lost(self, lost: list[FieldRemoved]) -> None:
        """Refuse what NULL in place of a lost field would make wrong for every record."""
        gone = {change.name for change in lost}
        stuck = []
        for name, mapping in self._columns.items():
            only_lost = bool(mapping.from_) and gone.issuperset(mapping.from_)
            fills = any(step.handles_null for step in mapping.convert)
            if only_lost and not fills and self._needs_value(name):
                stuck.append(f"{name!r} of the target needs a value")
        incremental = self._pipeline.source.incremental
        if incremental is not None and incremental.column in gone - self._columns.keys():
            stuck.append("`incremental` goes by it")
        for key, sql in self._conditions():
            if gone.intersection(self._fields_in(sql)):
                stuck.append(f"{key} asks for it")
        if stuck:
            raise SchemaDriftError(
                f"{self._source.name} has changed: {_listed(tuple(lost))}; and {', '.join(stuck)}. "
                "Nothing was read.",
                changes=tuple(lost),
                hint="Have the field written again, or change the contract and the pipeline.",
            )

    def _needs_value(self, name: str) -> bool:
        """Whether rows without a value in a column of the target can't be loaded, or go nowhere."""
        target, incremental = self._pipeline.target, self._pipeline.source.incremental
        stored = (self._table or {}).get(name)
        needed = {*target.key, target.latest_by, incremental.column if incremental else None}
        return name in needed or (stored is not None and not stored.nullable)

    def _conditions(self) -> Iterator[tuple[str, str]]:
        """What decides by the fields of a record, with the key that it is written under."""
        pipeline = self._pipeline
        if pipeline.filter is not None:
            yield "`filter`", pipeline.filter
        if pipeline.target.deletes is not None:
            yield "`deletes.when`", pipeline.target.deletes.when
        for name, mapping in self._columns.items():
            if mapping.when is not None:
                yield f"`when` of column {name!r}", mapping.when

    def _fields_in(self, sql: str) -> set[str]:
        """The fields that a condition names, as the contract spells them."""
        known = self._contract.source.fields
        named = parse_expression(sql, kind="filter").columns
        folded = {name.lower() for name in named if name not in known}
        return {name for name in known if name in named or name.lower() in folded}


def _best_type(source: Source, name: str) -> LogicalType:
    """What a new column for the field is to be: its type, of text what the values suggest."""
    given = source.schema[name].type
    return source.suggested[name].type if given.is_text else given


def _type_shown(source: Source, name: str, held: LogicalType) -> LogicalType:
    """The type that a field's values have beyond doubt, beside the column that holds them.

    A sample of text has room for more digits than it shows, and says nothing by being text: only
    whole numbers that have become fractions count.
    """
    given = source.schema[name].type
    if not given.is_text:
        return given
    suggested = source.suggested[name].type
    return suggested if held.is_integer and suggested.kind == "decimal" else held


def _stopped(
    pipeline: Pipeline,
    contract: MappingContract,
    policy: str,
    changes: tuple[Change, ...],
    *,
    by_name: bool,
) -> SchemaDriftError:
    agreed = (
        f"the columns of {contract.target.dataset}"
        if by_name
        else f"contract {contract.contract!r} version {contract.version}"
    )
    mend = "Change the table" if by_name else "Bring the contract up to date and approve it"
    return SchemaDriftError(
        f"Pipeline {pipeline.pipeline!r} does not fit {agreed} any more: {_listed(changes)}. "
        f"Nothing was read (schema_evolution: {policy}).",
        changes=changes,
        hint=f"{mend}, or write `schema_evolution: evolve`, by which new fields become columns, or "
        "`discard`, by which they are left out.",
    )


def _listed(changes: tuple[Change, ...]) -> str:
    told = [f"{change.describe()} ({change.effect})" for change in changes[:MOST_TOLD]]
    more = f"; and {len(changes) - MOST_TOLD} more" if len(changes) > MOST_TOLD else ""
    return "; ".join(told) + more
