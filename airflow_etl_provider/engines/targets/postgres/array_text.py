"""Lists as PostgreSQL writes arrays in text: `{1,NULL,"a,b"}`.

https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from airflow_etl_provider.engines.arrow_values import array_of

__all__ = ["array_texts"]


def array_texts(lists: pa.ListArray) -> pa.Array:
    """Write each list as text that a cast to an array type reads; a missing list stays missing."""
    elements = iter(_element_texts(lists.flatten()))
    texts: list[str | None] = []
    for length in pc.list_value_length(lists).to_pylist():
        if length is None:
            texts.append(None)
        else:
            texts.append("{" + ",".join(next(elements) for _ in range(length)) + "}")
    return array_of(texts, pa.string())


def _element_texts(values: pa.Array) -> list[str]:
    if pa.types.is_binary(values.type):
        texts = [None if v is None else "\\x" + v.hex() for v in values.to_pylist()]
    elif pa.types.is_interval(values.type):
        texts = [None if v is None else _interval(v) for v in values.to_pylist()]
    else:
        texts = pc.cast(values, pa.string()).to_pylist()
    return ["NULL" if text is None else _quoted(text) for text in texts]


def _interval(value: pa.MonthDayNano) -> str:
    return f"{value.months} months {value.days} days {value.nanoseconds // 1000} microseconds"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
