"""The statements that write, as syntax trees; names are quoted by the dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp, parse_one

from airflow_etl_provider.engines.targets.deletes import DELETE_MARK
from airflow_etl_provider.engines.targets.postgres.types import STAGED_ENCODINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from airflow_etl_provider.engines.targets.postgres.catalog import Column, Place

__all__ = [
    "add_primary_key",
    "count_kept",
    "count_null_partitions",
    "count_older",
    "create_staging",
    "create_table",
    "delete_load",
    "delete_marked",
    "delete_partitions",
    "delete_rows",
    "drop_marked",
    "drop_table",
    "insert_from_staging",
    "mark_deleted",
    "merge_from_staging",
    "on_table",
]

_DIALECT = "postgres"
_TABLE = "table_placeholder"


def on_table(sql: str, *, schema: str, table: str) -> str:
    """Put a quoted table into a statement of ours that names it `table_placeholder`."""
    tree = parse_one(sql, dialect=_DIALECT)
    for found in list(tree.find_all(exp.Table)):
        if found.name == _TABLE:
            found.set("this", exp.to_identifier(table, quoted=True))
            found.set("db", exp.to_identifier(schema, quoted=True))
    return tree.sql(_DIALECT)


def create_table(place: Place, columns: Sequence[Column]) -> str:
    """Create the target's table."""
    definitions = [_definition(c.name, c.declared, not_null=not c.nullable) for c in columns]
    return _create(_table(place.schema, place.table), definitions, "")


def create_staging(
    schema: str, name: str, columns: Sequence[Column], *, not_null: Collection[str], temporary: bool
) -> str:
    """Create a table for one transaction: the target's types, or text where only a cast goes in."""
    definitions = [
        _definition(c.name, _staged_type(c), not_null=c.name in not_null) for c in columns
    ]
    table = exp.table_(_name(name)) if temporary else _table(schema, name)
    return _create(table, definitions, "TEMPORARY" if temporary else "UNLOGGED")


def add_primary_key(place: Place, key: Sequence[str]) -> str:
    """Make the key of a merge unique, once the rows are there: that is faster."""
    tree = parse_one("ALTER TABLE a ADD PRIMARY KEY (b)", dialect=_DIALECT)
    tree.set("this", _table(place.schema, place.table))
    constraint = tree.find(exp.PrimaryKey)
    assert constraint is not None  # noqa: S101 - the text above has one
    constraint.set("expressions", [_name(column) for column in key])
    return tree.sql(_DIALECT)


def drop_table(schema: str, name: str) -> str:
    """Drop a staging table."""
    return on_table("DROP TABLE table_placeholder", schema=schema, table=name)


def delete_rows(place: Place) -> str:
    """Delete all rows; readers go on reading them until the commit."""
    return exp.delete(_table(place.schema, place.table)).sql(_DIALECT)


def count_null_partitions(columns: Sequence[Column], *, schema: str, name: str) -> str:
    """Count the staged rows of partitions with a NULL in their name."""
    nulls = exp.or_(*[_is_null(_value(c)) for c in columns])
    count = exp.select(exp.Count(this=exp.Star())).from_(_table(schema, name))
    return count.where(nulls).sql(_DIALECT)


def delete_partitions(
    place: Place, columns: Sequence[Column], *, nulls: bool, schema: str, name: str
) -> str:
    """Delete the rows of the partitions that were staged.

    Partitions with a NULL in their name are a statement of their own: what finds them can't use a
    hash or an index, which the others need.
    """
    values = [_value(c) for c in columns]
    known = exp.and_(*[exp.Not(this=_is_null(v)) for v in values])
    staged = (
        exp.select(*[v.copy().as_(f"p{at}") for at, v in enumerate(values)])
        .distinct()
        .from_(_table(schema, name))
        .where(exp.Not(this=exp.paren(known)) if nulls else known)
    )
    same = exp.NullSafeEQ if nulls else exp.EQ
    matches = exp.and_(
        *[
            same(this=_column(c.name, table=_ALIAS), expression=_column(f"p{at}", table=_STAGED))
            for at, c in enumerate(columns)
        ]
    )
    held = _aliased(_table(place.schema, place.table), _ALIAS)
    tree = exp.Delete(this=held, using=[staged.subquery(_STAGED)]).where(matches)
    return tree.sql(_DIALECT)


def delete_load(place: Place) -> str:
    """Delete what the load `$1` appended."""
    mine = exp.EQ(
        this=_column("_etl_load_id"), expression=exp.Parameter(this=exp.Literal.number(1))
    )
    return exp.delete(_table(place.schema, place.table)).where(mine).sql(_DIALECT)


def insert_from_staging(place: Place, columns: Sequence[Column], *, schema: str, name: str) -> str:
    """Insert what was staged, with the casts that COPY could not do."""
    return _insert(place, columns, schema=schema, name=name).sql(_DIALECT)


def merge_from_staging(
    place: Place,
    columns: Sequence[Column],
    *,
    key: Sequence[str],
    latest_by: str | None,
    schema: str,
    name: str,
    deleted_at: str | None = None,
) -> str:
    """Insert new keys and update the others, unless the target's row is newer by `latest_by`.

    A row without `latest_by` is as old as can be; of the same age, the one that comes now wins.

    :param deleted_at: the column of soft deletes: a row that comes again is there again.
    """
    written = [c.name for c in columns if c.name not in key] or [key[0]]
    current = None
    if latest_by is not None:
        current = _is_current(latest_by, _column(latest_by, table="excluded"))
    tree = _insert(place, columns, schema=schema, name=name, alias=_ALIAS)
    tree.set(
        "conflict",
        exp.OnConflict(
            conflict_keys=[_name(column) for column in key],
            action=exp.var("DO UPDATE"),
            expressions=[
                exp.EQ(this=exp.column(_name(c)), expression=_column(c, table="excluded"))
                for c in written
            ]
            + ([_set(deleted_at, exp.Null())] if deleted_at is not None else []),
            where=exp.Where(this=current) if current is not None else None,
        ),
    )
    return tree.sql(_DIALECT)


def count_older(
    place: Place,
    columns: Sequence[Column],
    *,
    key: Sequence[str],
    latest_by: str,
    schema: str,
    name: str,
) -> str:
    """Count the staged rows that `merge_from_staging` leaves out, the target's row being newer."""
    coming = {c.name: _value(c, table=_STAGED) for c in columns if c.name in {*key, latest_by}}
    same_key = exp.and_(
        *[exp.EQ(this=_column(k, table=_ALIAS), expression=coming[k].copy()) for k in key]
    )
    current = exp.paren(_is_current(latest_by, coming[latest_by]))
    # A comparison with NULL is no yes: ON CONFLICT ... WHERE does not update then.
    known = exp.Coalesce(this=current, expressions=[exp.Boolean(this=False)])
    return (
        exp.select(exp.Count(this=exp.Star()))
        .from_(_aliased(_table(schema, name), _STAGED))
        .join(_aliased(_table(place.schema, place.table), _ALIAS), on=same_key)
        .where(exp.Not(this=known))
        .sql(_DIALECT)
    )


def delete_marked(
    place: Place,
    columns: Sequence[Column],
    *,
    key: Sequence[str],
    latest_by: str | None,
    schema: str,
    name: str,
) -> str:
    """Remove the rows whose key a staged record deletes, but for newer ones by `latest_by`."""
    coming = {c.name: _value(c, table=_STAGED) for c in columns}
    return (
        exp.Delete(
            this=_aliased(_table(place.schema, place.table), _ALIAS),
            using=[_aliased(_table(schema, name), _STAGED)],
        )
        .where(exp.and_(_deletes(coming, key=key), _current(coming, latest_by)))
        .sql(_DIALECT)
    )


def mark_deleted(
    place: Place,
    columns: Sequence[Column],
    *,
    key: Sequence[str],
    latest_by: str | None,
    deleted_at: str,
    extra: Sequence[str],
    schema: str,
    name: str,
) -> str:
    """Note the time in those rows instead; one that was deleted before keeps its time.

    `latest_by` moves on with the record, or an older one could bring the row back afterwards.
    """
    coming = {c.name: _value(c, table=_STAGED) for c in columns}
    held = _column(deleted_at, table=_ALIAS)
    time = exp.Coalesce(this=held, expressions=[exp.CurrentTimestamp()])
    carried = [*filter(None, [latest_by]), *extra]
    return (
        exp.Update(
            this=_aliased(_table(place.schema, place.table), _ALIAS),
            expressions=[
                _set(deleted_at, time),
                *[_set(column, coming[column].copy()) for column in carried],
            ],
        )
        .from_(_aliased(_table(schema, name), _STAGED))
        .where(exp.and_(_deletes(coming, key=key), _current(coming, latest_by)))
        .sql(_DIALECT)
    )


def count_kept(
    place: Place,
    columns: Sequence[Column],
    *,
    key: Sequence[str],
    latest_by: str | None,
    deleted_at: str | None,
    schema: str,
    name: str,
) -> str:
    """Count the rows that are still there although a record deletes them: newer ones, and others.

    Others there should be none of.
    """
    coming = {c.name: _value(c, table=_STAGED) for c in columns}
    current: exp.Condition = exp.Coalesce(
        this=_current(coming, latest_by), expressions=[exp.false()]
    )
    there = current.copy()
    if deleted_at is not None:
        there = exp.and_(there, _is_null(_column(deleted_at, table=_ALIAS)))
    counts = [
        exp.Filter(this=exp.Count(this=exp.Star()), expression=exp.Where(this=condition))
        for condition in (exp.Not(this=current), there)
    ]
    return (
        exp.select(*counts)
        .from_(_aliased(_table(schema, name), _STAGED))
        .join(_aliased(_table(place.schema, place.table), _ALIAS), on=_deletes(coming, key=key))
        .sql(_DIALECT)
    )


def drop_marked(schema: str, name: str) -> str:
    """Take the records that delete out of what was staged."""
    return exp.delete(_table(schema, name)).where(_column(DELETE_MARK)).sql(_DIALECT)


_ALIAS = "held"
_STAGED = "staged"


def _set(column: str, value: exp.Expression) -> exp.EQ:
    return exp.EQ(this=exp.column(_name(column)), expression=value)


def _deletes(coming: dict[str, exp.Expression], *, key: Sequence[str]) -> exp.Condition:
    same = [exp.EQ(this=_column(k, table=_ALIAS), expression=coming[k].copy()) for k in key]
    return exp.and_(_column(DELETE_MARK, table=_STAGED), *same)


def _current(coming: dict[str, exp.Expression], latest_by: str | None) -> exp.Condition:
    if latest_by is None:
        return exp.true()
    return exp.paren(_is_current(latest_by, coming[latest_by].copy()))


def _is_current(latest_by: str, coming: exp.Expression) -> exp.Condition:
    held = _column(latest_by, table=_ALIAS)
    return exp.or_(
        exp.LTE(this=held, expression=coming), exp.Is(this=held.copy(), expression=exp.Null())
    )


def _insert(
    place: Place, columns: Sequence[Column], *, schema: str, name: str, alias: str | None = None
) -> exp.Insert:
    table = _table(place.schema, place.table)
    if alias is not None:
        table = _aliased(table, alias)
    values = [_value(c) for c in columns]
    return exp.Insert(
        this=exp.Schema(this=table, expressions=[_name(c.name) for c in columns]),
        expression=exp.select(*values).from_(_table(schema, name)),
    )


def _value(column: Column, *, table: str | None = None) -> exp.Expression:
    """A staged value as the target takes it."""
    staged = _column(column.name, table=table)
    if column.encoding not in STAGED_ENCODINGS:
        return staged
    return exp.Cast(this=staged, to=_type(column.declared))


def _is_null(value: exp.Expression) -> exp.Is:
    return exp.Is(this=value.copy(), expression=exp.Null())


def _create(table: exp.Table, definitions: list[exp.ColumnDef], kind: str) -> str:
    properties = {
        "TEMPORARY": [exp.TemporaryProperty()],
        "UNLOGGED": [exp.UnloggedProperty()],
        "": [],
    }[kind]
    return exp.Create(
        this=exp.Schema(this=table, expressions=definitions),
        kind="TABLE",
        properties=exp.Properties(expressions=properties) if properties else None,
    ).sql(_DIALECT)


def _definition(name: str, declared: str, *, not_null: bool) -> exp.ColumnDef:
    constraints = [exp.ColumnConstraint(kind=exp.NotNullColumnConstraint())] if not_null else []
    return exp.ColumnDef(this=_name(name), kind=_type(declared), constraints=constraints)


def _staged_type(column: Column) -> str:
    return "text" if column.encoding in STAGED_ENCODINGS else column.declared


def _type(declared: str) -> exp.DataType:
    # The server wrote it and quoted it (format_type), or it is one of ours: it goes in as it is.
    return exp.DataType(this=exp.DataType.Type.USERDEFINED, kind=declared)


def _table(schema: str, name: str) -> exp.Table:
    return exp.Table(this=_name(name), db=_name(schema))


def _aliased(table: exp.Table, alias: str) -> exp.Table:
    table.set("alias", exp.TableAlias(this=_name(alias)))
    return table


def _column(name: str, *, table: str | None = None) -> exp.Column:
    return exp.column(_name(name), table=_name(table) if table else None)


def _name(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)
