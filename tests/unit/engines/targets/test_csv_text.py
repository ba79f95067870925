from __future__ import annotations

import csv
import io

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.engines.targets.csv_text import csv_lines, header_line

CELLS = st.one_of(
    st.none(),
    st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    st.text(alphabet='",\r\n\t ;#é', max_size=5),
)


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=6)
    ),
    st.integers(0, 3),
)
def test_an_independent_reader_reads_what_was_written(
    rows: list[list[str | None]], start: int
) -> None:
    width = len(rows[0]) if rows else 1
    names = [f"c{n}" for n in range(width)]
    columns = [pa.array([row[n] for row in rows], pa.string()) for n in range(width)]
    batch = pa.RecordBatch.from_arrays(columns, names=names).slice(start)
    text = (header_line(names) + bytes(csv_lines(batch))).decode()
    read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert read == [names, *([cell or "" for cell in row] for row in rows[start:])]


@given(st.lists(st.text(alphabet='",\r\n #\ufeffa', max_size=4), min_size=1, max_size=4))
def test_any_text_may_be_a_header(names: list[str]) -> None:
    text = header_line(names).decode()
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == [names]
    assert not text.startswith("\ufeff")


def test_null_and_empty_text_differ() -> None:
    batch = pa.RecordBatch.from_pydict({"a": ["", None], "b": ["x", "y"]})
    assert bytes(csv_lines(batch)) == b'"",x\r\n,y\r\n'
