from __future__ import annotations

import pytest

from airflow_etl_provider.contracts.pipeline import RejectBudget
from airflow_etl_provider.contracts.rules import LOAD_NAMES
from airflow_etl_provider.engines.accounting import Tally
from airflow_etl_provider.exceptions import AccountingError


def test_an_input_balances_when_every_record_ended_somewhere() -> None:
    tally = Tally().begin("orders.csv")
    tally.records, tally.good, tally.quarantined, tally.filtered, tally.deduplicated = (
        10,
        6,
        2,
        1,
        1,
    )
    tally.check()


@pytest.mark.parametrize("records", [9, 11])
def test_a_lost_or_invented_record_fails_the_run(records: int) -> None:
    tally = Tally().begin("orders.csv")
    tally.records, tally.good, tally.quarantined = records, 8, 2
    with pytest.raises(AccountingError, match=f"orders.csv holds {records} records, but 10"):
        tally.check()


def test_the_drivers_count_must_be_ours() -> None:
    tally = Tally()
    tally.begin("a").good = 3
    tally.begin("b").good = 4
    tally.check_written(7)
    with pytest.raises(AccountingError, match="took 6 rows of 7"):
        tally.check_written(6)


def test_load_rules_see_the_figures_by_name() -> None:
    tally = Tally()
    one = tally.begin("a")
    one.records, one.good, one.quarantined, one.filtered = 10, 7, 2, 1
    assert dict(tally.load_figures()) == dict(zip(LOAD_NAMES, (7, 10, 2, 1, 0, 0), strict=True))


@pytest.mark.parametrize(
    ("budget", "rejected", "read", "allowed"),
    [
        (RejectBudget(), 100, 100, True),
        (RejectBudget(), 101, 100, False),
        (RejectBudget(), 200, 20_000, True),
        (RejectBudget(), 201, 20_000, False),
        (RejectBudget(records=0, share=None), 1, 100, False),
        (RejectBudget(records=None, share=None), 100, 100, True),
    ],
)
def test_the_default_budget_is_the_larger_of_a_share_and_a_number(
    budget: RejectBudget, rejected: int, read: int, allowed: bool
) -> None:
    assert budget.allows(rejected=rejected, read=read) is allowed
