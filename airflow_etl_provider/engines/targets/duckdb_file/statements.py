"""The statements that publish a load, as syntax trees: no name is ever pasted into SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from airflow_etl_provider.engines.backends.duckdb.types import to_duckdb
from airflow_etl_provider.engines.targets.deletes import DELETE_MARK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_etl_provider.contracts.schema import Schema

__all__ = ["INCOMING", "STAGED", "Statements"]

INCOMING = "_etl_incoming"
"""The Arrow stream, registered on the connection."""

STAGED = "_etl_staged"
"""A temporary table: merge and replace_partition read the rows more than once."""


@dataclass(frozen=True, slots=True)
class Statements:
    """Renders the statements for one table of one file."""

    catalog: str
    schema: str
    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...] = ()
    latest_by: str | None = None
    deleted_at: str | None = None

    def create(self, schema: Schema, *, not_null: Sequence[str]) -> str:
        """The table as the contract has it."""
        needed = {name.lower() for name in not_null}
        columns = []
        for field in schema:
            strict = not field.nullable or field.name.lower() in needed
            constraint = exp.ColumnConstraint(kind=exp.NotNullColumnConstraint())
            columns.append(
                exp.ColumnDef(
                    this=_name(field.name),
                    kind=to_duckdb(field.type),
                    constraints=[constraint] if strict else [],
                )
            )
        return _sql(
            exp.Create(this=exp.Schema(this=self._target(), expressions=columns), kind="TABLE")
        )

    def clear(self) -> str:
        return _sql(exp.delete(self._target()))

    def clear_load(self) -> str:
        """Remove the rows of one load; takes its id."""
        condition = exp.EQ(this=_column("_etl_load_id"), expression=exp.Placeholder())
        return _sql(exp.delete(self._target()).where(condition))

    def clear_partitions(self, partition_by: Sequence[str]) -> str:
        """Remove the rows of the partitions that are staged; NULL is a value here."""
        same = [
            exp.NullSafeEQ(this=_column(name, "t"), expression=_column(name, "s"))
            for name in partition_by
        ]
        staged = exp.select(exp.Literal.number(1)).from_(_staged("s")).where(exp.and_(*same))
        return _sql(exp.Delete(this=self._target("t")).where(exp.Exists(this=staged)))

    def insert(self, source: str = INCOMING) -> str:
        rows = exp.select(*[_column(name) for name in self.columns]).from_(_temporary(source))
        return _sql(exp.insert(rows, self._target(), columns=[_name(n) for n in self.columns]))

    def count_present(self, key: Sequence[str]) -> str:
        """How many rows to come have a key that the table has already."""
        same = exp.and_(*[exp.EQ(this=_column(k, "t"), expression=_column(k, "s")) for k in key])
        there = exp.select(exp.Literal.number(1)).from_(self._target("t")).where(same)
        coming = _aliased(_temporary(INCOMING), "s")
        return _sql(_count().from_(coming).where(exp.Exists(this=there)))

    def stage(self) -> str:
        rows = exp.select(exp.Star()).from_(_temporary(INCOMING))
        create = exp.Create(this=exp.to_table(STAGED), kind="TABLE", expression=rows)
        create.set("properties", exp.Properties(expressions=[exp.TemporaryProperty()]))
        return _sql(create)

    def null_keys(self) -> str:
        """How many staged rows have a NULL in the key."""
        nulls = [exp.Is(this=_column(name), expression=exp.null()) for name in self.key]
        return _sql(_count().from_(_staged()).where(exp.or_(*nulls)))

    def repeated_keys(self) -> str:
        """How many keys are staged more than once."""
        keys = [_column(name) for name in self.key]
        many = exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1))
        groups = exp.select(exp.Literal.number(1).as_("one")).from_(_staged())
        return _sql(_count().from_(groups.group_by(*keys).having(many).subquery("repeated")))

    def ambiguous_keys(self) -> str:
        """How many staged keys stand in the table more than once."""
        keys = [_column(name, "s") for name in self.key]
        many = exp.GT(this=exp.Count(this=exp.Star()), expression=exp.Literal.number(1))
        groups = (
            exp.select(exp.Literal.number(1).as_("one"))
            .from_(_staged("s"))
            .join(self._target("t"), on=self._same_key())
            .group_by(*keys)
            .having(many)
        )
        return _sql(_count().from_(groups.subquery("ambiguous")))

    def older(self) -> str | None:
        """How many staged rows are older than the row that the table has."""
        if self.latest_by is None:
            return None
        joined = _count().from_(_staged("s")).join(self._target("t"), on=self._same_key())
        newer = exp.paren(self._is_newer())
        never_null = exp.Coalesce(this=newer, expressions=[exp.Boolean(this=False)])
        return _sql(joined.where(exp.Not(this=exp.paren(never_null))))

    def count_kept(self) -> str:
        """How many records don't delete because the table has something newer."""
        joined = _count().from_(_staged("s")).join(self._target("t"), on=self._same_key())
        current = exp.Coalesce(this=self._is_current(), expressions=[exp.false()])
        return _sql(joined.where(exp.and_(_column(DELETE_MARK, "s"), exp.Not(this=current))))

    def delete_marked(self) -> str:
        """Remove the rows that staged records delete."""
        delete = exp.Delete(this=self._target("t"), using=[_staged("s")])
        return _sql(delete.where(self._deletes()))

    def mark_deleted(self, extra: Sequence[str]) -> str:
        """Note the time in them instead, which is the parameter; the first time stays.

        `latest_by` moves on with the record, or an older one could bring the row back afterwards.
        """
        deleted_at = self.deleted_at or ""
        time = exp.Coalesce(this=_column(deleted_at, "t"), expressions=[exp.Placeholder()])
        carried = [*filter(None, [self.latest_by]), *extra]
        update = exp.Update(
            this=self._target("t"),
            expressions=[
                exp.EQ(this=_column(deleted_at), expression=time),
                *[exp.EQ(this=_column(c), expression=_column(c, "s")) for c in carried],
            ],
        )
        return _sql(update.from_(_staged("s")).where(self._deletes()))

    def drop_marked(self) -> str:
        """Take the records that delete out of what was staged."""
        return _sql(exp.delete(_staged()).where(_column(DELETE_MARK)))

    def _deletes(self) -> exp.Condition:
        return exp.and_(_column(DELETE_MARK, "s"), self._same_key(), self._is_current())

    def _is_current(self) -> exp.Condition:
        """Whether the table's row is not newer than the record."""
        return exp.true() if self.latest_by is None else exp.paren(self._is_newer())

    def merge(self) -> str:
        keys = {name.lower() for name in self.key}
        changes = [
            exp.EQ(this=_column(name), expression=_column(name, "s"))
            for name in self.columns
            if name.lower() not in keys
        ]
        if self.deleted_at is not None:
            # A row that comes again is there again.
            changes.append(exp.EQ(this=_column(self.deleted_at), expression=exp.null()))
        whens: list[exp.Expression] = []
        if changes:
            update = exp.Update(expressions=changes)
            whens.append(
                exp.When(
                    matched=True,
                    condition=exp.paren(self._is_newer()) if self.latest_by is not None else None,
                    then=update,
                )
            )
        insert = exp.Insert(
            this=exp.Tuple(expressions=[_column(name) for name in self.columns]),
            expression=exp.Tuple(expressions=[_column(name, "s") for name in self.columns]),
        )
        whens.append(exp.When(matched=False, then=insert))
        return _sql(
            exp.Merge(
                this=self._target("t"),
                using=_staged("s"),
                on=self._same_key(),
                whens=exp.Whens(expressions=whens),
            )
        )

    def _is_newer(self) -> exp.Condition:
        """Not older; a row without a time gives way to one that has it."""
        name = self.latest_by or ""
        there, new = _column(name, "t"), _column(name, "s")
        return exp.or_(
            exp.Is(this=there, expression=exp.null()), exp.GTE(this=new, expression=there.copy())
        )

    def _same_key(self) -> exp.Condition:
        return exp.and_(
            *[exp.EQ(this=_column(k, "t"), expression=_column(k, "s")) for k in self.key]
        )

    def _target(self, alias: str | None = None) -> exp.Table:
        table = exp.Table(
            this=_name(self.table), db=_name(self.schema), catalog=_name(self.catalog)
        )
        return _aliased(table, alias)


def _temporary(name: str) -> exp.Table:
    return exp.Table(this=_name(name), db=_name("main"), catalog=_name("temp"))


def _staged(alias: str | None = None) -> exp.Table:
    return _aliased(_temporary(STAGED), alias)


def _aliased(table: exp.Table, alias: str | None) -> exp.Table:
    if alias is not None:
        table.set("alias", exp.TableAlias(this=exp.to_identifier(alias)))
    return table


def _count() -> exp.Select:
    return exp.select(exp.Count(this=exp.Star()))


def _name(text: str) -> exp.Identifier:
    return exp.to_identifier(text, quoted=True)


def _column(name: str, table: str | None = None) -> exp.Column:
    return exp.Column(
        this=_name(name), table=exp.to_identifier(table) if table is not None else None
    )


def _sql(tree: exp.Expression) -> str:
    return tree.sql("duckdb")
