from __future__ import annotations

import signal
import stat
from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_etl_provider.engines.targets.base import WriteSpec
from airflow_etl_provider.engines.targets.parquet_file import ParquetFileTarget
from airflow_etl_provider.exceptions import (
    FencedError,
    TargetDataError,
    TargetError,
    TargetMissingError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Child, Loader

REPLACE = WriteSpec(mode="replace")


@pytest.fixture
def target(tmp_path: Path) -> ParquetFileTarget:
    return ParquetFileTarget(tmp_path / "orders.parquet")


def test_the_ledger_is_inside_the_file(
    target: ParquetFileTarget, loader: Loader, tmp_path: Path
) -> None:
    loader.run(target, loader.schema(id="int64"), {"id": [1, 2]})
    assert [path.name for path in tmp_path.iterdir()] == ["orders.parquet"]
    copied = ParquetFileTarget(target.path.rename(tmp_path / "moved.parquet"))
    assert [entry.rows_loaded for entry in copied.ledger()] == [2]


def test_other_readers_see_nothing_but_rows(target: ParquetFileTarget, loader: Loader) -> None:
    loader.run(target, loader.schema(id="int64", amount="decimal(9,2)"), {"id": [1], "amount": [2]})
    assert (
        duckdb.read_parquet(str(target.path)).fetchall()
        == duckdb.sql("select 1::bigint, 2::decimal(9,2)").fetchall()
    )
    assert pq.ParquetFile(target.path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_row_groups_stay_small_whatever_the_batch(
    target: ParquetFileTarget, loader: Loader
) -> None:
    loader.run(target, loader.schema(id="int64"), {"id": list(range(300_000))})
    metadata = pq.read_metadata(target.path)
    assert metadata.num_rows == 300_000
    assert max(metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)) <= 122_880


def test_a_killed_publish_leaves_the_old_file(
    target: ParquetFileTarget, loader: Loader, child: Child
) -> None:
    schema = loader.schema(id="int64")
    loader.run(target, schema, {"id": [1]}, load=loader.load("0" * 32))
    before = target.path.read_bytes()
    done = child.run(
        """
        from airflow_etl_provider.engines.targets.attempt_file import AttemptFile
        from airflow_etl_provider.engines.targets.parquet_file import ParquetFileTarget
        AttemptFile.publish = die
        target = ParquetFileTarget(folder / "orders.parquet")
        loader.run(target, loader.schema(id="int64"), {"id": list(range(1000))})
        """
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert target.path.read_bytes() == before
    assert len(list(target.path.parent.glob(".*.tmp"))) == 1
    loader.run(target, schema, {"id": [2]})
    assert list(target.path.parent.glob(".*")) == []
    assert pq.read_table(target.path).to_pydict() == {"id": [2]}


def test_a_full_disk_leaves_the_old_file(
    target: ParquetFileTarget, loader: Loader, child: Child
) -> None:
    loader.run(target, loader.schema(id="int64"), {"id": [1]}, load=loader.load("0" * 32))
    answer = child.answer(
        """
        from airflow_etl_provider.engines.targets.parquet_file import ParquetFileTarget
        from airflow_etl_provider.exceptions import TargetError
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        target = ParquetFileTarget(folder / "orders.parquet")
        columns = {"name": [os.urandom(50).hex() for _ in range(200000)]}
        try:
            loader.run(target, loader.schema(name="string"), columns)
        except TargetError as error:
            print(json.dumps([type(error).__name__, str(error)]))
        """
    )
    assert answer[0] == "TargetError"
    assert "orders.parquet" in answer[1]
    assert "Free space" in answer[1]
    assert pq.read_table(target.path).to_pydict() == {"id": [1]}
    assert list(target.path.parent.glob(".*")) == []


def test_an_overtaken_attempt_on_a_local_disk_is_refused(
    target: ParquetFileTarget, loader: Loader
) -> None:
    schema = loader.schema(id="int64")
    zombie = target.begin(load=loader.load(), schema=schema, write=REPLACE)
    loader.write(zombie, {"id": [1]})
    loader.run(target, schema, {"id": [2]})
    loader.run(target, schema, {"id": [3]}, load=loader.load("b" * 32))
    with pytest.raises(FencedError):
        zombie.publish(loader.publication(1))
    zombie.abort()
    assert pq.read_table(target.path).to_pydict() == {"id": [3]}


def test_the_files_of_the_living_are_not_swept(target: ParquetFileTarget, loader: Loader) -> None:
    schema = loader.schema(id="int64")
    living = target.begin(load=loader.load("b" * 32), schema=schema, write=REPLACE)
    loader.run(target, schema, {"id": [1]})
    loader.write(living, {"id": [2]})
    living.publish(loader.publication(1))
    assert pq.read_table(target.path).to_pydict() == {"id": [2]}


def test_the_rights_and_the_place_of_the_file_stay(tmp_path: Path, loader: Loader) -> None:
    (tmp_path / "real").mkdir()
    real = tmp_path / "real" / "x.parquet"
    real.write_bytes(b"something else")
    real.chmod(0o640)
    link = tmp_path / "orders.parquet"
    link.symlink_to(real)
    loader.run(ParquetFileTarget(link), loader.schema(id="int64"), {"id": [1]})
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert pq.read_table(real).num_rows == 1


def test_a_new_file_has_the_rights_that_the_user_gives(
    target: ParquetFileTarget, loader: Loader, tmp_path: Path
) -> None:
    loader.run(target, loader.schema(id="int64"), {"id": [1]})
    (tmp_path / "plain").touch()
    assert target.path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_durations_are_exact_and_months_are_refused(
    target: ParquetFileTarget, loader: Loader
) -> None:
    schema = loader.schema(span="duration")
    loader.run(target, schema, {"span": [(0, 1, 1_500_000_000), None]})
    found = pq.read_table(target.path)
    assert found.schema.field("span").type == pa.duration("us")
    assert found.to_pydict() == {"span": [timedelta(days=1, seconds=1.5), None]}
    with pytest.raises(TargetDataError, match="'span'"):
        loader.run(target, schema, {"span": [(1, 0, 0)]}, load=loader.load("b" * 32))


def test_batches_of_near_types_are_fitted_and_others_refused(
    target: ParquetFileTarget, loader: Loader
) -> None:
    def write(column: pa.Array) -> int:
        batch = pa.RecordBatch.from_arrays([column], names=["id"])
        write = target.begin(load=loader.load(), schema=loader.schema(id="int16"), write=REPLACE)
        with write as session:
            return session.write(pa.RecordBatchReader.from_batches(batch.schema, [batch]))

    assert write(pa.array([1, 2], pa.int64())) == 2
    with pytest.raises(TargetDataError, match="'id'") as caught:
        write(pa.array([70_000], pa.int64()))
    assert "70000" not in str(caught.value)


def test_a_folder_or_a_missing_folder_is_refused(tmp_path: Path, loader: Loader) -> None:
    (tmp_path / "x.parquet").mkdir()
    schema = loader.schema(id="int64")
    with pytest.raises(TargetError, match="is a folder"):
        ParquetFileTarget(tmp_path / "x.parquet").begin(
            load=loader.load(), schema=schema, write=REPLACE
        )
    with pytest.raises(TargetMissingError, match="gone"):
        ParquetFileTarget(tmp_path / "gone" / "x.parquet").begin(
            load=loader.load(), schema=schema, write=REPLACE
        )


def test_a_name_of_the_greatest_length_works(tmp_path: Path, loader: Loader) -> None:
    path = tmp_path / ("ä" * 123 + ".parquet")
    loader.run(ParquetFileTarget(path), loader.schema(id="int64"), {"id": [1]})
    assert pq.read_table(path).num_rows == 1
