from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.contracts.pipeline import Pipeline, SourceSpec
from airflow_etl_provider.engines.backends.duckdb.types import from_arrow
from airflow_etl_provider.engines.batch import run_pipeline
from airflow_etl_provider.engines.quarantine import read_quarantine
from airflow_etl_provider.engines.sources import open_source
from airflow_etl_provider.exceptions import NotSupportedYetError, SourceFormatError

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_etl_provider.contracts.report import RunReport
    from airflow_etl_provider.engines.sources import Source

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


def open_(folder: Path, *, location: str = "given.parquet", all_text: bool = False) -> Source:
    spec = SourceSpec(location=location)
    return open_source(
        spec,
        connections=lambda name: pytest.fail(f"asked for {name}"),
        base=folder,
        all_text=all_text,
    )


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


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a", "A"], "given.parquet has the columns 'a' and 'A', which differ in case only"),
        (["a", "a"], "given.parquet has two columns named 'a'"),
        (["a", ""], "given.parquet: column 2 has no name"),
        ([], "given.parquet has no columns"),
    ],
)
@pytest.mark.parametrize("all_text", [False, True])
def test_names_that_can_not_be_told_apart_are_refused(
    tmp_path: Path, names: list[str], said: str, all_text: bool
):
    columns = [pa.array([number]) for number, _ in enumerate(names)]
    pq.write_table(pa.Table.from_arrays(columns, names=names), tmp_path / "given.parquet")
    with pytest.raises(SourceFormatError, match=said):
        open_(tmp_path, all_text=all_text)


@pytest.mark.parametrize("of", [pa.map_(pa.string(), pa.int32()), pa.decimal256(50, 2)], ids=str)
def test_a_type_that_is_not_supported_is_told_with_file_and_column(tmp_path: Path, of: pa.DataType):
    pq.write_table(pa.table({"v": pa.array([None], of)}), tmp_path / "given.parquet")
    with pytest.raises(NotSupportedYetError, match=r"given\.parquet: Column 'v': "):
        open_(tmp_path)


@pytest.mark.parametrize("all_text", [False, True])
def test_columns_without_any_value_are_text(tmp_path: Path, all_text: bool):
    lists = pa.array([[None], None], pa.list_(pa.null()))
    given = pa.table({"id": [1, 2], "v": pa.nulls(2), "w": lists})
    pq.write_table(given, tmp_path / "given.parquet")
    source = open_(tmp_path, all_text=all_text)
    types = [str(field.type) for field in source.schema]
    assert types == (["string"] * 3 if all_text else ["int64", "string", "array<string>"])
    with duckdb.connect() as connection:
        scan = source.scan(source.inputs[0])
        rows = connection.sql(f"SELECT v, w FROM {scan.relation(connection)}").fetchall()
        scan.close()
    assert rows == [(None, "[null]" if all_text else [None]), (None, None)]


@pytest.mark.parametrize("of", [pa.int64(), pa.struct([("a", pa.int32())])], ids=str)
@pytest.mark.parametrize("empty", ["a.parquet", "c.parquet"])
def test_a_column_without_any_value_has_the_type_of_another_file(
    tmp_path: Path, of: pa.DataType, empty: str
):
    pq.write_table(pa.table({"v": pa.nulls(2)}), tmp_path / empty)
    pq.write_table(pa.table({"v": pa.array([None], of)}), tmp_path / "b.parquet")
    source = open_(tmp_path, location="*.parquet")
    assert [str(field.type) for field in source.schema] == [str(from_arrow(of))]
    with duckdb.connect() as connection:
        for input in source.inputs:
            scan = source.scan(input)
            rows = connection.sql(f"SELECT v FROM {scan.relation(connection)}").fetchall()
            assert set(rows) == {(None,)}
            scan.close()


def test_a_rejected_row_with_a_number_that_is_not_finite_is_kept_as_json(tmp_path: Path):
    values = [float("nan"), float("inf"), 1.5]
    pq.write_table(pa.table({"id": [None, None, "z"], "v": values}), tmp_path / "given.parquet")
    report = run_pipeline(
        Pipeline(
            pipeline="p",
            source={"location": "given.parquet"},
            target={"location": "made.parquet", "mode": "replace"},
            rules=[{"column": "id", "not_null": True}],
            max_rejected="none",
        ),
        connections=lambda name: pytest.fail(f"asked for {name}"),
        run_id="run",
        base=tmp_path,
        clock=lambda: datetime.now(timezone.utc),
    )
    assert report.quarantine
    assert [reject.raw for reject in read_quarantine(report.quarantine)] == [
        b'{"id": null, "v": "NaN"}',
        b'{"id": null, "v": "Infinity"}',
    ]
