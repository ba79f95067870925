"""Reports and progress in words."""

from __future__ import annotations

from airflow_etl_provider.contracts.report import RunReport
from airflow_etl_provider.contracts.summary import describe_progress, describe_report
from airflow_etl_provider.engines.batch import Progress


def report(**changes: object) -> RunReport:
    return RunReport(
        **{
            "status": "done_with_rejects",
            "run_id": "r",
            "pipeline": "orders",
            "load_id": "l",
            "target": "warehouse.orders",
            "rows_read": 1000,
            "rows_loaded": 990,
            "rows_quarantined": 7,
            "rows_filtered": 3,
            "seconds": 2.0,
            "reasons": {"not_converted": 5, "rule:matches": 4},
            "quarantine": "/data/my quarantine",
            **changes,
        }
    )


def test_every_row_is_accounted_for():
    lines = describe_report(report())

    assert "1,000 rows read = 990 loaded + 7 quarantined + 3 filtered" in lines


def test_the_command_to_look_at_rejects_can_be_pasted():
    assert describe_report(report())[-1].endswith(
        "airflow-etl quarantine show '/data/my quarantine'"
    )


def test_reasons_come_most_frequent_first():
    assert "rejected for: not_converted 5, rule:matches 4" in describe_report(report())


def test_a_failed_run_does_not_claim_rows():
    lines = describe_report(report(status="failed", rows_loaded=0))

    assert lines[0] == "orders: failed, nothing was published to warehouse.orders"
    assert "1,000 rows read before it stopped" in lines


def test_the_same_load_again_says_so():
    assert "already loaded" in describe_report(report(status="already_loaded"))[0]


def test_nothing_new_is_no_load():
    lines = describe_report(report(status="nothing_new", notes=("Nothing new: all.",)))

    assert lines[0] == "orders: nothing new for warehouse.orders"
    assert "Nothing new: all." in lines


def test_progress_is_one_line_of_rows_megabytes_speed_and_rejects():
    line = describe_progress(Progress("loading", 5_000, 12, 2_500_000, 10_000_000, 2.0))

    assert line == "loading: 5,000 rows, 25% of 10.0 MB, 2,500 rows/s, 12 rejected"


def test_progress_of_an_unknown_size_gives_no_share():
    assert "%" not in describe_progress(Progress("loading", 5, 0, 100, 0, 1.0))


def test_of_thousands_of_notes_a_few_are_told():
    notes = tuple(f"file {number} was odd" for number in range(3000))
    lines = describe_report(report(notes=notes, quarantine=None))

    assert lines[-21:] == [*notes[:20], "and 2,980 more notes"]


def test_notes_that_fit_are_all_told():
    notes = tuple(f"file {number} was odd" for number in range(20))

    assert describe_report(report(notes=notes, quarantine=None))[-20:] == list(notes)
