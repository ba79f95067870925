"""From rules to checks: on rows, on keys of the load, on keys of other tables, on the load."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_etl_provider.contracts.checks import (
    Between,
    InSet,
    Length,
    LoadExpression,
    Matches,
    NotNull,
    NullShare,
    References,
    RowExpression,
    Unique,
)
from airflow_etl_provider.engines.plan import (
    Duplicate,
    KeyLookup,
    LoadCheck,
    RowCheck,
    RuleBroken,
    UniqueKey,
    WrongKey,
)
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_etl_provider.contracts.checks import Check
    from airflow_etl_provider.contracts.pipeline import Mode
    from airflow_etl_provider.contracts.rules import Rule
    from airflow_etl_provider.contracts.schema import Schema

__all__ = ["PlannedRules", "columns_of", "near", "plan_rules"]


@dataclass(frozen=True, slots=True)
class PlannedRules:
    """Rules as the parts of a plan that they become."""

    row_checks: tuple[RowCheck, ...]
    load_checks: tuple[LoadCheck, ...]
    unique_keys: tuple[UniqueKey, ...]
    lookups: tuple[KeyLookup, ...]


def plan_rules(
    rules: Sequence[Rule], *, schema: Schema, mode: Mode, key: tuple[str, ...]
) -> PlannedRules:
    """Settle what each rule looks at.

    :param schema: the columns that rules are about.
    :param mode: of the load: what is appended must be unique against what is there, too.
    :param key: of a merge, which is unique without a rule.
    :raises SpecificationError: a rule names a column that is not there.
    """
    planned: list[RowCheck | LoadCheck | UniqueKey | KeyLookup] = []
    for rule in rules:
        for check in rule.checks:
            for column in columns_of(check):
                if column not in schema:
                    raise SpecificationError(
                        f"A rule names column {column!r}, which no column of the contract "
                        f"fills.{near(column, schema.names)}"
                    )
            if mode == "merge" and isinstance(check, Unique) and set(check.columns) == set(key):
                continue
            planned += _plan(check, rule, appends=mode == "append")
    return PlannedRules(
        row_checks=tuple(one for one in planned if isinstance(one, RowCheck)),
        load_checks=tuple(one for one in planned if isinstance(one, LoadCheck)),
        unique_keys=tuple(one for one in planned if isinstance(one, UniqueKey)),
        lookups=tuple(one for one in planned if isinstance(one, KeyLookup)),
    )


def columns_of(check: Check) -> tuple[str, ...]:
    """The columns that a check names; SQL expressions name theirs themselves."""
    if isinstance(check, Unique | References):
        return check.columns
    if isinstance(check, RowExpression | LoadExpression):
        return ()
    return (check.column,)


def _plan(
    check: Check, rule: Rule, *, appends: bool
) -> Iterator[RowCheck | LoadCheck | UniqueKey | KeyLookup]:
    called = rule.name or check.describe()
    if isinstance(check, NullShare | LoadExpression):
        words = _message(rule, check.breach)
        yield LoadCheck(check.code, words, rule.severity, check, rule=called)
    elif isinstance(check, Unique):
        test = Duplicate(check.columns)
        yield UniqueKey(check.columns, None, _key_check(check, rule, check.breach, test))
        if appends:
            there = _key_check(check, rule, check.breach_in_target, WrongKey(check.columns))
            yield KeyLookup(check.columns, None, check.columns, "absent", there)
    elif isinstance(check, References):
        missing = _key_check(check, rule, check.breach, WrongKey(check.columns))
        reference = check.reference
        yield KeyLookup(check.columns, reference.table, reference.columns, "present", missing)
    else:
        for part in _parts(check):
            column = getattr(part, "column", None)
            words = _message(rule, part.breach)
            whole = check if isinstance(check, Between | Length) and part != check else None
            test_ = RuleBroken(part, whole)
            yield RowCheck(check.code, column, None, words, rule.severity, test_, rule=called)


def _key_check(
    check: Unique | References, rule: Rule, breach: str, test: Duplicate | WrongKey
) -> RowCheck:
    return RowCheck(
        code=check.code,
        column=",".join(check.columns),
        step=None,
        message=_message(rule, breach),
        severity=rule.severity,
        test=test,
        rule=rule.name or check.describe(),
    )


def _parts(
    check: NotNull | InSet | Between | Matches | Length | RowExpression,
) -> tuple[NotNull | InSet | Between | Matches | Length | RowExpression, ...]:
    """One check for each limit, so that a reason names the one that was broken."""
    return check.ends if isinstance(check, Between | Length) else (check,)


def _message(rule: Rule, breach: str) -> str:
    return f"{rule.name}: {breach}" if rule.name else breach


def near(name: str, names: Iterable[str]) -> str:
    """Ask whether a name that is there was meant; nothing where none looks alike."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
