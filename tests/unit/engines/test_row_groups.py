from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.engines.row_groups import RowGroupWriter


@pytest.mark.parametrize(
    ("row_bytes", "batch_rows"), [(10, 1), (10, 1000), (5000, 1), (5000, 100), (50_000, 3)]
)
def test_no_group_outgrows_its_bounds_by_more_than_a_row(row_bytes: int, batch_rows: int) -> None:
    schema = pa.schema([("text", pa.string())])
    sink = io.BytesIO()
    writer = RowGroupWriter(sink, schema, group_bytes=20_000, group_rows=500)
    rows = 1200 if row_bytes < 50_000 else 12
    texts = [str(n).zfill(row_bytes) for n in range(rows)]
    for at in range(0, rows, batch_rows):
        writer.write(pa.RecordBatch.from_pydict({"text": texts[at : at + batch_rows]}, schema))
    writer.close(metadata={"key": "value"})
    metadata = pq.read_metadata(sink)
    groups = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]
    assert max(groups) <= 500
    assert max(groups) * row_bytes <= 20_000 + max(row_bytes, 10_000)
    assert pq.read_table(sink).column("text").to_pylist() == texts
    assert writer.rows == rows
    assert metadata.metadata[b"key"] == b"value"


def test_a_file_without_rows_has_its_columns() -> None:
    sink = io.BytesIO()
    RowGroupWriter(sink, pa.schema([("a", pa.int64())])).close()
    assert pq.read_table(sink).schema.names == ["a"]
