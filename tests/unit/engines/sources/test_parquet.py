from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline
from airflow_etl_provider.engines.batch import run_pipeline
from airflow_etl_provider.exceptions import SourceFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.report import RunReport

FINE = (
    pa.timestamp("ns"),
    pa.timestamp("ns", "UTC"),
    pa.time64("ns"),
    pa.duration("ns"),
    pa.list_(pa.timestamp("ns")),
    pa.struct([("at", pa.timestamp("ns"))]),
)


def write(folder: Path, of: pa.DataType, nanoseconds: int) -> None:
    value: object = nanoseconds
    if pa.types.is_list(of):
        value = [nanoseconds]
    elif pa.types.is_struct(of):
        value = {"at": nanoseconds}
    pq.write_table(pa.table({"v": pa.array([None, value], of)}), folder / "given.parquet")


def load(folder: Path) -> RunReport:
    return run_pipeline(
        Pipeline(
            pipeline="p",
            source={"location": "given.parquet"},
            target={"location": "made.parquet", "mode": "replace"},
        ),
        connections=lambda name: pytest.fail(f"asked for {name}"),
        run_id="run",
        base=folder,
        clock=lambda: datetime.now(timezone.utc),
    )


@pytest.mark.parametrize("of", FINE, ids=str)
def test_nanoseconds_that_are_whole_microseconds_are_loaded(tmp_path: Path, of: pa.DataType):
    write(tmp_path, of, 3_000)
    assert load(tmp_path).rows_loaded == 2
    made = pq.read_table(tmp_path / "made.parquet")["v"]
    given = pq.read_table(tmp_path / "given.parquet")["v"]
    assert made.equals(given.cast(made.type))


@pytest.mark.parametrize("of", FINE, ids=str)
def test_finer_times_are_refused_and_not_cut_off(tmp_path: Path, of: pa.DataType):
    write(tmp_path, of, 3_001)
    with pytest.raises(SourceFormatError, match=r"Column 'v' of given\.parquet .*microsecond"):
        load(tmp_path)
    assert not (tmp_path / "made.parquet").exists()
