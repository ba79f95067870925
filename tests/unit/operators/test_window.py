"""Which window a run takes, and what it says when there is none."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.operators.window import window_of

FIRST = datetime(2013, 1, 1, tzinfo=timezone.utc)
SECOND = datetime(2013, 1, 2, tzinfo=timezone.utc)
RUN = {"data_interval_start": FIRST, "data_interval_end": SECOND}


def pipeline(*, by_interval: bool = True) -> Pipeline:
    source = {"location": "a.csv"}
    if by_interval:
        source["incremental"] = {"by": "data_interval", "column": "at"}
    return Pipeline.model_validate(
        {"pipeline": "p", "source": source, "target": {"location": "b.parquet", "mode": "replace"}}
    )


def window(context, *, start=None, end=None, by_interval=True):
    return window_of(pipeline(by_interval=by_interval), context, start=start, end=end)


def test_the_data_interval_of_the_run_is_the_window():
    found = window(RUN)

    assert (found.start, found.end) == (FIRST, SECOND)


def test_a_pipeline_that_loads_whole_inputs_has_no_window():
    assert window(RUN, by_interval=False) is None


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"data_interval_start": None, "data_interval_end": None},
        {"data_interval_start": FIRST, "data_interval_end": FIRST},
    ],
    ids=["triggered by an asset", "triggered by hand", "a plain cron string"],
)
def test_a_run_without_an_interval_is_told_what_to_do(context):
    with pytest.raises(SpecificationError, match=r"CronDataIntervalTimetable.*window_start"):
        window(context)


def test_a_given_window_goes_before_the_interval():
    found = window(RUN, start="2013-02-01", end="2013-03-01T00:00:00Z")

    assert found.start == datetime(2013, 2, 1, tzinfo=timezone.utc)
    assert found.end == datetime(2013, 3, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize("nothing", ["", "None", "  "])
def test_a_template_that_renders_to_nothing_gives_no_window(nothing):
    assert window(RUN, start=nothing, end=nothing).start == FIRST


def test_half_a_window_is_refused():
    with pytest.raises(SpecificationError, match="both or neither"):
        window(RUN, start="2013-02-01")


def test_a_window_that_ends_before_it_starts_is_refused():
    with pytest.raises(SpecificationError, match="not before its end"):
        window(RUN, start="2013-02-02", end="2013-02-01")


def test_what_is_no_time_is_refused():
    with pytest.raises(SpecificationError, match=r"window_start.*ISO 8601"):
        window(RUN, start="yesterday", end="2013-02-01")


def test_a_window_that_the_pipeline_would_ignore_is_refused():
    with pytest.raises(SpecificationError, match="does not load by one"):
        window(RUN, start="2013-02-01", end="2013-02-02", by_interval=False)
