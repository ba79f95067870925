"""What a load will do to the table, settled from the catalog before the first row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.types import LogicalType
from airflow_etl_provider.engines.backends.duckdb.types import to_arrow
from airflow_etl_provider.engines.targets.deletes import DELETE_MARK, require_deletes
from airflow_etl_provider.engines.targets.ledger import require_partition
from airflow_etl_provider.engines.targets.postgres.catalog import LOAD_COLUMNS, Column
from airflow_etl_provider.engines.targets.postgres.types import (
    STAGED_ENCODINGS,
    created_encoding,
    declared_type,
)
from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SpecificationError,
    TargetSchemaError,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_etl_provider.contracts.schema import Field, Schema
    from airflow_etl_provider.engines.targets.base import WriteSpec
    from airflow_etl_provider.engines.targets.postgres.catalog import Place, Relation

__all__ = ["MAX_NAME_BYTES", "WritePlan", "plan_write"]

MAX_NAME_BYTES = 63
"""PostgreSQL cuts longer names off, so that two of them may become one."""


@dataclass(frozen=True, slots=True)
class WritePlan:
    """How the rows get into the table.

    :param columns: those of the load, in its order; the mark of deletes comes behind them.
    :param extra: our own columns, behind them.
    :param deleted_at: the column of soft deletes, which no row brings a value for.
    :param creates: the table is created in the publishing transaction.
    :param staged: rows go into a table of the transaction first, and are published from there.
    """

    place: Place
    columns: tuple[Column, ...]
    extra: tuple[Column, ...]
    creates: bool
    staged: bool
    deletes: bool = False
    deleted_at: Column | None = None

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The columns that rows bring."""
        return self.columns + self.extra

    @property
    def created(self) -> tuple[Column, ...]:
        """The columns of a table that the load creates."""
        return self.all_columns + ((self.deleted_at,) if self.deleted_at is not None else ())

    @property
    def handed_over(self) -> tuple[Column, ...]:
        return self.columns + ((_MARK,) if self.deletes else ())

    @property
    def staging(self) -> tuple[Column, ...]:
        return self.handed_over + self.extra

    @property
    def arrow_schema(self) -> pa.Schema:
        """What the engine hands over."""
        import pyarrow as pa

        return pa.schema([pa.field(c.name, to_arrow(c.type)) for c in self.handed_over])


_MARK = Column(DELETE_MARK, LogicalType("bool"), "boolean", "plain", nullable=False)


def plan_write(
    relation: Relation | None, *, place: Place, schema: Schema, write: WriteSpec, where: str
) -> WritePlan:
    """Settle columns and road, or say why the load does not fit the table.

    :raises TargetSchemaError: a column or the key does not fit.
    :raises SpecificationError: the options contradict each other.
    """
    _check_options(schema, write, where)
    for name in (place.table, *schema.names):
        if len(name.encode()) > MAX_NAME_BYTES:
            raise TargetSchemaError(
                f"{name!r} has more than the {MAX_NAME_BYTES} bytes of a name in PostgreSQL.",
                hint="Give it a shorter name in the contract.",
            )
    deletes = write.deletes is not None
    if relation is None:
        columns = tuple(_created(field, write.key) for field in schema)
        extra = _created_extra() if write.load_columns else ()
        staged = deletes or any(column.encoding in STAGED_ENCODINGS for column in columns)
        deleted_at = _created_deleted_at(write)
        return WritePlan(
            place,
            columns,
            extra,
            creates=True,
            staged=staged,
            deletes=deletes,
            deleted_at=deleted_at,
        )
    columns = _existing(relation, schema, where)
    extra = _existing_extra(relation, where) if write.load_columns else ()
    _check_required(relation, columns + extra, where)
    if write.mode == "merge":
        _check_key(relation, write.key, where)
    if write.mode in ("replace", "replace_partition") and relation.takes_others_along:
        raise TargetSchemaError(
            f"Replacing the rows of {where} would delete or empty rows of other tables, whose "
            "foreign keys say ON DELETE CASCADE or SET NULL.",
            hint="Use mode merge, which changes rows in place.",
        )
    staged = (
        write.mode != "append"
        or relation.row_triggers
        or any(column.encoding in STAGED_ENCODINGS for column in columns)
    )
    deleted_at = _existing_deleted_at(relation, write, where)
    return WritePlan(
        place, columns, extra, creates=False, staged=staged, deletes=deletes, deleted_at=deleted_at
    )


def _check_options(schema: Schema, write: WriteSpec, where: str) -> None:
    if write.mode not in ("append", "replace", "replace_partition", "merge"):
        raise NotSupportedYetError(f"Mode {write.mode} into {where} is not supported yet.")
    if not len(schema):
        raise SpecificationError(f"A load into {where} has no columns.")
    if write.mode == "merge" and not write.key:
        raise SpecificationError(
            f"Mode merge into {where} needs `key`: the columns that identify a row."
        )
    require_partition(schema, write)
    require_deletes(schema, write)
    for name in (*write.key, *filter(None, [write.latest_by])):
        if name not in schema:
            raise SpecificationError(
                f"Column {name!r} of `key` or `latest_by` is not loaded into {where}."
            )
    if write.load_columns and (taken := LOAD_COLUMNS.keys() & set(schema.names)):
        raise SpecificationError(
            f"With `load_columns`, {', '.join(sorted(taken))} can't be mapped."
        )


def _existing(relation: Relation, schema: Schema, where: str) -> tuple[Column, ...]:
    columns = []
    for field in schema:
        column = relation.column(field.name)
        if column is None:
            raise TargetSchemaError(
                f"{where} has no column {field.name!r}. It has "
                f"{', '.join(column.name for column in relation.columns)}.",
                hint="Add the column to the table, or take it out of the contract.",
            )
        if column.generated:
            raise TargetSchemaError(
                f"Column {field.name!r} of {where} is generated and can't be written.",
                hint="Take it out of the contract.",
            )
        if not _fits(field.type, column.type):
            raise TargetSchemaError(
                f"Column {field.name!r} of {where} is {column.declared} ({column.type}), and the "
                f"contract writes {field.type}.",
                hint="Convert it in the contract.",
            )
        columns.append(column)
    return tuple(columns)


def _fits(given: LogicalType, held: LogicalType) -> bool:
    """Whether values of one type can become the other's; each value is the engine's check."""
    if given.kind == held.kind:
        return held.element is None or given.element is None or _fits(given.element, held.element)
    if given.is_number and held.is_number:
        return True
    pairs = {("date", "timestamp"), ("date", "timestamptz"), ("timestamp", "timestamptz")}
    texts = {"string", "uuid", "json"}
    return (given.kind, held.kind) in pairs or {given.kind, held.kind} <= texts


def _check_required(relation: Relation, columns: tuple[Column, ...], where: str) -> None:
    written = {column.name for column in columns}
    missing = [c.name for c in relation.columns if c.required and c.name not in written]
    if missing:
        raise TargetSchemaError(
            f"{where} needs a value in {', '.join(missing)}: not null, without a default, and "
            "not in the contract.",
            hint="Map the column, or give it a default.",
        )


def _check_key(relation: Relation, key: tuple[str, ...], where: str) -> None:
    if frozenset(key) not in relation.unique:
        known = "; ".join(", ".join(sorted(columns)) for columns in relation.unique)
        raise TargetSchemaError(
            f"{where} has no unique index on exactly ({', '.join(key)}), which merge needs. "
            f"It has: {known or 'none'}.",
            hint="Add a primary key or unique constraint (not deferrable, not partial), or change "
            "`key`.",
        )


def _existing_extra(relation: Relation, where: str) -> tuple[Column, ...]:
    found = [relation.column(name) for name in LOAD_COLUMNS]
    wrong = [
        f"{name} {declared_type(of, column=name)}"
        for (name, of), column in zip(LOAD_COLUMNS.items(), found, strict=True)
        if column is None or column.type.kind != of.kind or column.generated
    ]
    if wrong:
        raise TargetSchemaError(
            f"{where} lacks columns that `load_columns` fills: {', '.join(wrong)}.",
            hint="Add them with ALTER TABLE ... ADD COLUMN, or turn `load_columns` off.",
        )
    return tuple(column for column in found if column is not None)


def _created_extra() -> tuple[Column, ...]:
    return tuple(
        Column(name, of, declared_type(of, column=name), created_encoding(of))
        for name, of in LOAD_COLUMNS.items()
    )


def _created_deleted_at(write: WriteSpec) -> Column | None:
    if write.deletes is None or write.deletes.column is None:
        return None
    name = write.deletes.column
    if len(name.encode()) > MAX_NAME_BYTES or name in LOAD_COLUMNS:
        raise SpecificationError(f"`deletes.column` can't be {name!r}; choose another name.")
    of = LogicalType("timestamptz")
    return Column(name, of, declared_type(of, column=name), created_encoding(of))


def _existing_deleted_at(relation: Relation, write: WriteSpec, where: str) -> Column | None:
    wanted = _created_deleted_at(write)
    if wanted is None:
        return None
    column = relation.column(wanted.name)
    if (
        column is None
        or column.type.kind != "timestamptz"
        or column.generated
        or not column.nullable
    ):
        raise TargetSchemaError(
            f"{where} needs a column {wanted.name!r} of type timestamptz that may be NULL: soft "
            "deletes put their time there.",
            hint="Add it with ALTER TABLE ... ADD COLUMN.",
        )
    return column


def _created(field: Field, key: tuple[str, ...]) -> Column:
    return Column(
        name=field.name,
        type=field.type,
        declared=declared_type(field.type, column=field.name),
        encoding=created_encoding(field.type),
        nullable=field.nullable and field.name not in key,
    )
