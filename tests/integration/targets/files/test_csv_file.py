from __future__ import annotations

import json
import signal
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from airflow_etl_provider.engines.targets.base import WriteSpec
from airflow_etl_provider.engines.targets.csv_file import CsvFileTarget

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Child, Loader

REPLACE = WriteSpec(mode="replace")


@pytest.fixture
def target(tmp_path: Path) -> CsvFileTarget:
    return CsvFileTarget(tmp_path / "orders.csv")


def test_the_file_is_as_the_standard_has_it(target: CsvFileTarget, loader: Loader) -> None:
    columns: dict[str, list[Any]] = {
        "id": [1, 2, 3],
        "a, name": ['say "hi"', "two\nlines", "größe"],
        "note": ["", None, " x"],
    }
    loader.run(target, loader.schema(id="int64", **{"a, name": "string"}, note="string"), columns)
    assert (
        target.path.read_bytes()
        == (
            'id,"a, name",note\r\n1,"say ""hi""",""\r\n2,"two\nlines",\r\n3,größe," x"\r\n'
        ).encode()
    )


def test_null_and_empty_text_stay_apart_for_duckdb(target: CsvFileTarget, loader: Loader) -> None:
    loader.run(target, loader.schema(a="string", b="string"), {"a": ["", None], "b": ["x", "y"]})
    read = duckdb.read_csv(str(target.path), all_varchar=True, null_padding=False)
    assert [row[0] is None for row in read.fetchall()] in ([False, True], [True, True])


def test_a_file_without_rows_has_its_header(target: CsvFileTarget, loader: Loader) -> None:
    loader.run(target, loader.schema(id="int64", name="string"), {"id": [], "name": []})
    assert target.path.read_bytes() == b"id,name\r\n"


def test_no_record_of_a_single_column_is_an_empty_line(
    target: CsvFileTarget, loader: Loader
) -> None:
    loader.run(target, loader.schema(name="string"), {"name": [None, "", "x"]})
    assert target.path.read_bytes() == b'name\r\n""\r\n""\r\nx\r\n'


@pytest.mark.parametrize(
    ("of", "value", "text"),
    [
        ("bool", True, "true"),
        ("float64", 0.1, "0.1"),
        ("float64", float("inf"), "inf"),
        ("decimal(38,20)", Decimal("1E-20"), "0.00000000000000000001"),
        ("decimal(9,2)", Decimal("-1.50"), "-1.50"),
        ("date", 0, "1970-01-01"),
        ("time", 1_000_001, "00:00:01.000001"),
        ("timestamp", 0, "1970-01-01T00:00:00"),
        ("timestamp", 1_500_000, "1970-01-01T00:00:01.500000"),
        ("timestamptz", 0, "1970-01-01T00:00:00Z"),
        ("duration", (1, 2, 3_500_000_000), "P1M2DT3.5S"),
        ("binary", b"\x00\xff", "AP8="),
        ("uuid", "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
        ("json", '{"a":1}', '"{""a"":1}"'),
        ("array<int64>", [1, None], '"[1, null]"'),
        ("struct<a: date>", {"a": 0}, '"{""a"": ""1970-01-01""}"'),
    ],
)
def test_a_value_of_each_type_is_written_so_that_it_reads_back(
    target: CsvFileTarget, loader: Loader, of: str, value: Any, text: str
) -> None:
    loader.run(target, loader.schema(id="int64", x=of), {"id": [1], "x": [value]})
    assert target.path.read_bytes().decode() == f"id,x\r\n1,{text}\r\n"


def test_the_ledger_lies_beside_the_file(target: CsvFileTarget, loader: Loader) -> None:
    loader.run(target, loader.schema(id="int64"), {"id": [1, 2]})
    sidecar = json.loads(target.path.with_name("orders.csv.etl.json").read_text())
    assert sidecar["size"] == target.path.stat().st_size
    assert [entry["rows_loaded"] for entry in sidecar["ledger"]] == [2]


@pytest.mark.parametrize("change", ["longer", "other", "gone", "sidecar gone", "sidecar broken"])
def test_a_ledger_that_does_not_describe_the_file_is_not_believed(
    target: CsvFileTarget, loader: Loader, change: str
) -> None:
    schema = loader.schema(id="int64")
    loader.run(target, schema, {"id": [1, 2]})
    data = target.path.read_bytes()
    if change == "longer":
        target.path.write_bytes(data + b"3\r\n")
    elif change == "other":
        target.path.write_bytes(data.replace(b"2", b"3"))
    elif change == "gone":
        target.path.unlink()
    elif change == "sidecar gone":
        target.ledger_path.unlink()
    else:
        target.ledger_path.write_text('{"ledger": 7}')
    assert target.ledger() == []
    loader.run(target, schema, {"id": [1, 2]})
    assert target.path.read_bytes() == data
    assert len(target.ledger()) == 1


def test_killed_between_the_file_and_its_proof_the_load_runs_again(
    target: CsvFileTarget, loader: Loader, child: Child
) -> None:
    schema = loader.schema(id="int64")
    loader.run(target, schema, {"id": [1]}, load=loader.load("0" * 32))
    done = child.run(
        """
        from airflow_etl_provider.engines.targets.csv_file import CsvFileTarget
        CsvFileTarget.prove = die
        loader.run(CsvFileTarget(folder / "orders.csv"), loader.schema(id="int64"), {"id": [5, 6]})
        """
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert target.path.read_bytes() == b"id\r\n5\r\n6\r\n"
    assert target.ledger() == []
    loader.run(target, schema, {"id": [5, 6]})
    assert target.path.read_bytes() == b"id\r\n5\r\n6\r\n"
    assert [entry.load_id[0] for entry in target.ledger()] == ["0", "a"]
