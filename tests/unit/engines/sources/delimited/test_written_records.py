"""A record is written again as its dialect has it, whichever way it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.engines.sources.delimited import scan
from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

values = st.lists(
    st.none() | st.text(alphabet=[*'ab,;" \t\r\n', "é"], max_size=5) | st.sampled_from(["NA", ""]),
    min_size=1,
    max_size=4,
)


@given(values, st.sampled_from([",", ";", "\t", " ", "||"]), st.sampled_from(['"', "'", ""]))
def test_the_short_way_writes_what_the_long_way_writes(
    record: list[str | None], delimiter: str, quote: str
) -> None:
    dialect = ResolvedDialect(
        encoding="utf-8", bom=0, delimiter=delimiter, quote=quote, escape="", comment="",
        newline="\n", skip_rows=0, header_rows=0, columns=("a", "b", "c", "d")[: len(record)],
        null_values=("", "NA"),
    )  # fmt: skip
    short = scan.write_record(record, dialect)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_plain_record", lambda *_: None)
        assert scan.write_record(record, dialect) == short
