"""The progress bar fits its terminal and leaves nothing behind."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.cli.progress import ProgressBar, render_bar
from airflow_etl_provider.engines.batch import Progress

progresses = st.builds(
    Progress,
    stage=st.sampled_from(["loading orders.csv", "publishing"]),
    rows_read=st.integers(0, 10**12),
    rows_rejected=st.integers(0, 10**9),
    bytes_read=st.integers(0, 10**15),
    bytes_total=st.just(0) | st.integers(1, 10**15),
    seconds=st.floats(0, 10**6),
)


@given(progress=progresses, width=st.integers(1, 300))
def test_the_bar_never_reaches_the_last_column(progress, width):
    assert len(render_bar(progress, width=width)) < max(width, 1)


def test_the_bar_shows_the_share_that_is_read():
    half = Progress("loading", 500, 3, 50, 100, 1.0)

    line = render_bar(half, width=120)

    assert " 50%" in line
    assert line.count("#") == line.count(".") > 0
    assert "500 rows/s" in line
    assert "3 rejected" in line


def test_a_share_stays_at_a_whole_when_a_file_grew():
    assert "100%" in render_bar(Progress("loading", 1, 0, 300, 100, 1.0), width=100)


def test_nothing_is_drawn_where_nobody_looks():
    stream = io.StringIO()

    with ProgressBar(shown=False, stream=stream) as bar:
        bar(Progress("loading", 1, 0, 1, 1, 1.0))

    assert stream.getvalue() == ""


def test_the_line_is_taken_away_at_the_end():
    stream = io.StringIO()

    with ProgressBar(shown=True, stream=stream) as bar:
        bar(Progress("loading", 1, 0, 1, 1, 1.0))

    assert stream.getvalue().endswith("\r\x1b[K")
