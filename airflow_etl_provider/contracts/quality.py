"""A data quality check: rules for what is there already, and what was found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from airflow_etl_provider.contracts.pipeline import Budget, Name, RejectBudget, Rules
from airflow_etl_provider.contracts.source_spec import Format
from airflow_etl_provider.contracts.spec import Faults, Names, Spec, Text, Words

__all__ = ["QualityCheck", "QualityReport", "QualityStatus", "RuleResult"]

QualityStatus = Literal["passed", "passed_with_warnings", "failed"]


class QualityCheck(Spec):
    """Rules for a table, or for files.

    .. code-block:: python

        QualityCheck(
            check="orders",
            connection="warehouse",
            table="sales.orders",
            rules=[{"column": "order_id", "not_null": True, "unique": True}],
        )
    """

    check: Annotated[Name, Field(description="Its name: samples are kept under it.")]
    connection: Annotated[
        Text | None, Field(description="The connection of the table's database, or of the files.")
    ] = None
    table: Annotated[
        Text | None, Field(description="A table or view: orders, or sales.orders.")
    ] = None
    location: Annotated[
        Text | None,
        Field(description="Files: a path, a pattern or a URL. With `table`, a database's URL."),
    ] = None
    format: Annotated[
        Annotated[Format, Words(("csv", "jsonl", "parquet"), planned=("json",))] | None,
        Field(description="Of files; found out when absent."),
    ] = None
    rules: Annotated[Rules, Field(description="What holds of the rows, and of all of them.")]
    where: Annotated[
        Text | None,
        Field(description="An SQL condition; only rows for which it is true are checked."),
    ] = None
    max_violations: Annotated[
        Budget,
        Field(
            description="How many rows may break rules of severity quarantine before the check "
            "fails: 100, 1% or none. Absent: 0."
        ),
    ] = RejectBudget(records=0, share=None)
    sample: Annotated[
        Annotated[int, Field(strict=True, ge=0, le=10_000)],
        Field(description="How many rows are kept of those that break a rule, for each rule."),
    ] = 100
    sample_columns: Annotated[
        Names,
        Field(
            description="Columns that the sample shows besides the primary key and what the rules "
            "look at."
        ),
    ] = ()
    quarantine: Annotated[
        Text | None, Field(description="The folder for samples, where it is not the usual one.")
    ] = None

    @model_validator(mode="after")
    def _fits(self) -> QualityCheck:
        faults = Faults()
        if self.table is None and self.location is None:
            faults.add((), "needs `table` (with `connection`), or `location` (files)")
        if self.table is not None and self.connection is None and self.location is None:
            faults.add((), "needs `connection` beside `table`: the database that has the table")
        if self.table is not None and self.format is not None:
            faults.add(("format",), "belongs to files, and this check is about a table")
        if not self.rules:
            faults.add(("rules",), "is empty; there is nothing to check")
        faults.report()
        return self


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What became of one rule.

    :param rule: its name, or its description.
    :param violations: rows that break it; of `max_null_share`, rows without a value.
    :param share: of the rows that were checked.
    """

    rule: str
    code: str
    column: str | None
    severity: str
    holds: bool
    violations: int
    share: float


@dataclass(frozen=True, slots=True)
class QualityReport:
    """One check of one table.

    :param rows_violating: rows that break a rule of severity quarantine or fail, each once.
    :param rows_filtered: rows that `where` left out after they were read; the database may have
        left out others.
    :param sample: the folder with rows that break rules, and the reasons.
    """

    status: QualityStatus
    run_id: str
    check: str
    dataset: str
    rows_checked: int = 0
    rows_violating: int = 0
    rows_filtered: int = 0
    rules: tuple[RuleResult, ...] = ()
    sample: str | None = None
    sample_rows: int = 0
    started_at: str | None = None
    seconds: float = 0.0
    notes: tuple[str, ...] = field(default=())

    @property
    def broken(self) -> tuple[RuleResult, ...]:
        return tuple(rule for rule in self.rules if not rule.holds)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)
