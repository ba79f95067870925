from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.engines.targets.parquet_folder.partitions import (
    NULL,
    folder_name,
    folder_values,
    split,
)
from airflow_etl_provider.exceptions import TargetDataError


@given(st.lists(st.none() | st.text(max_size=40), min_size=1, max_size=3))
def test_a_folder_tells_its_values_back_and_has_one_part_each(values: list[str | None]) -> None:
    names = [f"p {n}/=" for n in range(len(values))]
    folder = folder_name(names, values)
    assert folder_values(folder) == dict(zip(names, values, strict=True))
    parts = folder.split("/")
    assert len(parts) == len(values)
    assert not {"", ".", ".."} & set(parts)
    assert folder.isprintable() or not folder.isascii()


def test_the_word_for_null_is_no_value() -> None:
    with pytest.raises(TargetDataError):
        folder_name(["a"], [NULL])


def test_rows_are_split_by_all_partition_columns_and_keep_their_order() -> None:
    batch = pa.RecordBatch.from_pydict(
        {
            "n": [0, 1, 2, 3, 4, 5],
            "a": ["x", "y", "x", None, "x", None],
            "b": [1, 1, 2, 1, 1, 1],
        }
    )
    found = {folder: rows["n"].to_pylist() for folder, rows in split(batch, ["a", "b"])}
    assert found == {
        "a=x/b=1": [0, 4],
        "a=y/b=1": [1],
        "a=x/b=2": [2],
        f"a={NULL}/b=1": [3, 5],
    }
    assert all(rows.schema.names == ["n"] for _, rows in split(batch, ["a", "b"]))
    assert list(split(batch.slice(0, 0), ["a"])) == []
