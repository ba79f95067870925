"""A load made on the command line has the same name wherever it is started."""

from __future__ import annotations

import pytest

from airflow_etl_provider.cli.load import name_pipeline, name_table
from airflow_etl_provider.exceptions import SpecificationError


@pytest.mark.parametrize(
    ("source", "table"),
    [
        ("orders.csv", "orders"),
        ("exports/Orders 2026-*.csv.gz", "orders_2026"),
        ("/data/2026.jsonl", "t_2026"),
        ("Größe.csv", "größe"),
        ("x" * 100 + ".csv", "x" * 63),
    ],
)
def test_a_table_is_named_after_the_file(source, table):
    assert name_table(source) == table


def test_a_source_without_a_name_asks_for_one():
    with pytest.raises(SpecificationError, match="--table"):
        name_table("*.csv")


@pytest.mark.parametrize("target", ["{}out.parquet", "duckdb:///{}w.db"])
def test_a_name_does_not_depend_on_the_folder(tmp_path, monkeypatch, target):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path)
    from_above = name_pipeline("in/a.csv", target.format(""), table="a")
    monkeypatch.chdir(tmp_path / "in")

    assert name_pipeline("a.csv", target.format("../"), table="a") == from_above


def test_a_name_does_not_depend_on_the_password():
    with_one = name_pipeline("/a.csv", "postgresql://me:one@db/shop", table="a")
    with_two = name_pipeline("/a.csv", "postgresql://me:two@db/shop", table="a")

    assert with_one == with_two
    assert "one" not in with_one


@pytest.mark.parametrize("key", ["password", "sslpassword", "pass%77ord"])
@pytest.mark.parametrize("rest", ["postgresql://me@db/shop?", "postgresql:///?host=db&user=me&"])
def test_a_name_does_not_depend_on_a_password_in_the_query(key, rest):
    names = {
        name_pipeline("/a.csv", f"{rest}{key}={password}&sslmode=require", table="a")
        for password in ("one", "two", "")
    }

    assert len(names) == 1
    assert names != {name_pipeline("/a.csv", f"{rest}{key}=one&sslmode=disable", table="a")}


def test_a_query_without_a_password_counts_as_it_is_written():
    target = "postgresql://me@db/shop?sslmode=require&application_name=a%20b"

    assert name_pipeline("/a.csv", target, table="a") == "load_a_7e33ec59"


@pytest.mark.parametrize(
    ("source", "target", "table"),
    [
        ("/b.csv", "postgresql://me@db/shop", "a"),
        ("/a.csv", "postgresql://me@db/other", "a"),
        ("/a.csv", "postgresql://me@db/shop", "b"),
    ],
)
def test_other_ends_make_another_name(source, target, table):
    assert name_pipeline(source, target, table=table) != name_pipeline(
        "/a.csv", "postgresql://me@db/shop", table="a"
    )
