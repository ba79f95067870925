"""Places that hold datasets: folders, prefixes, connections, and names inside of them."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest

from airflow_etl_provider.agents.discovery import chosen_files, discover, grouping
from airflow_etl_provider.agents.discovery import scan as scanning
from airflow_etl_provider.agents.discovery.grouping import group_names
from airflow_etl_provider.contracts.connection import Connection
from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead
from airflow_etl_provider.exceptions import ConnectionNotFoundError, SpecificationError

ROWS = "id,state\n1,new\n2,paid\n"


def look(place, connections, **options):
    return list(scanning.discover(place, connections=connections, **options))


@pytest.fixture
def lake(s3_server):
    for day in range(1, 4):
        s3_server.put(f"raw/orders/day=2026-01-0{day}/part-0.csv", ROWS.encode())
    s3_server.put("raw/customers.csv", b"id,email\n1,a@example.com\n")
    s3_server.put("raw/.hidden.csv", b"no")
    s3_server.put("raw/_tmp/x.csv", b"no")
    s3_server.put("raw/photo.png", b"no")
    s3_server.put("raw/sub/", b"")
    return s3_server


def bucket_connection(server):
    return lambda name: server.connection(
        name, service_config={"s3": {"bucket_name": server.bucket}}
    )


def test_below_a_prefix_files_are_grouped(lake):
    found = look(lake.url("raw"), lake.connections, connection="lake")

    assert [(one.location, one.rows) for one in found] == [
        (lake.url("raw/customers.csv"), 1),
        (lake.url("raw/orders/day=*/part-*.csv"), 6),
    ]
    assert found[1].partitions == ("day",)
    assert found[1].inputs == 3


@pytest.mark.parametrize("place", ["lake", "lake/raw", "lake/raw/"])
def test_a_connection_with_a_bucket_is_looked_through(lake, place):
    found = look(place, bucket_connection(lake), include=["*customers*"])

    assert [one.rows for one in found] == [1]
    assert found[0].name == "lake/raw/customers.csv"


def test_an_object_or_a_pattern_is_one_dataset(lake):
    (one,) = look("lake/raw/customers.csv", bucket_connection(lake))
    (pattern,) = look("lake/raw/orders/*/*.csv", bucket_connection(lake))

    assert (one.rows, pattern.rows) == (1, 6)


def test_nothing_below_a_prefix_is_said(lake):
    (found,) = look("lake/nowhere", bucket_connection(lake))

    assert isinstance(found, NotRead)
    assert found.code == "source_not_found"


def test_a_bucket_that_is_not_there_is_named(lake):
    (found,) = look("s3://no-such-bucket/raw/", lake.connections, connection="lake")

    assert isinstance(found, NotRead)
    assert "no-such-bucket" in found.reason


def test_pages_of_objects_are_listed_to_the_end(s3_server):
    for number in range(1100):
        s3_server.put(f"many/e_{number}.csv", b"id\n1\n")

    (found,) = look(s3_server.url("many/"), s3_server.connections, connection="lake")

    # A part of the files is enough to know them.
    assert (found.inputs, found.counted) == (chosen_files.MOST_FILES, False)
    assert found.rows == pytest.approx(1100, rel=0.01)
    assert found.margin > 0.05


@pytest.fixture
def exports(tmp_path):
    folder = tmp_path / "exports" / "in"
    folder.mkdir(parents=True)
    for day in (1, 2):
        (folder / f"orders_{day}.csv").write_text(ROWS)
    return lambda name: Connection(name, "fs", extra={"path": str(tmp_path / "exports")})


@pytest.mark.parametrize("place", ["files", "files/in"])
def test_a_connection_of_files_is_looked_through(exports, place):
    (found,) = look(place, exports)

    assert (found.name, found.rows) == ("files/in/orders_*.csv", 4)


def test_a_file_inside_of_a_connection_is_one_dataset(exports):
    (found,) = look("files/in/orders_1.csv", exports)

    assert isinstance(found, DatasetProfile)
    assert found.rows == 2


def test_a_path_that_is_no_connection_is_a_path(tmp_path):
    def unknown(name):
        raise ConnectionNotFoundError(f"no {name}")

    (found,) = look("exports/orders.csv", unknown, base=tmp_path)

    assert (found.code, found.location) == ("source_not_found", "exports/orders.csv")


def test_a_folder_without_files_that_are_read_is_said(tmp_path):
    (tmp_path / "photo.png").write_bytes(b"no")

    (found,) = look(str(tmp_path), lambda _name: None)

    assert isinstance(found, NotRead)
    assert ".parquet" in found.reason


def test_a_hundred_thousand_names_take_the_memory_of_their_datasets():
    names = (f"day={n % 365}/{kind}_{n}.csv" for n in range(50_000) for kind in ("a", "b"))
    tracemalloc.start()

    found = group_names(names)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == ["day=*/a_*.csv", "day=*/b_*.csv"]
    assert peak < 2**20


def test_names_that_are_all_different_are_no_datasets(monkeypatch):
    monkeypatch.setattr(grouping, "MOST_DATASETS", 100)
    letters = ("".join(word) for word in itertools.product("abcdef", repeat=3))

    with pytest.raises(SpecificationError, match="more than 100 datasets"):
        group_names(f"{word}.csv" for word in letters)


def test_files_are_picked_from_all_over(tmp_path, monkeypatch):
    monkeypatch.setattr(discover, "MOST_FILES", 5)
    for number in range(20):
        (tmp_path / f"e_{number:02d}.csv").write_text(f"n\n{number}\n")

    (some,) = look(str(tmp_path), lambda _name: None)
    (all_of_them,) = look(str(tmp_path), lambda _name: None, exact=True)

    assert (some.inputs, some.rows, some.counted) == (5, 20, False)
    assert (some.fields[0].minimum, some.fields[0].maximum) == ("0", "19")
    assert (all_of_them.inputs, all_of_them.rows, all_of_them.counted) == (20, 20, True)
