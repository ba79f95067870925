"""`airflow-etl drift`: two places, a saved look, or the catalog."""

from __future__ import annotations

import json

import psycopg2
import pytest

from airflow_etl_provider.cli import main
from airflow_etl_provider.metadata.migrate import migrate
from airflow_etl_provider.metadata.sql import SqlStore


@pytest.fixture(autouse=True)
def at_home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(path, *, rows=300, header="id,state,amount", state="paid"):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{n},{state if n % 3 else 'new'},{n % 50}.25" for n in range(rows)]
    path.write_text("\n".join([header, *lines, ""]))


def drift(capsys, *words):
    code = main(["drift", *words, "--json"])
    told = capsys.readouterr()
    return code, json.loads(told.out) if told.out else None, told.err


def kinds(told):
    return [change["kind"] for one in told["datasets"] for change in one["changes"]]


def test_two_files_are_compared_whatever_their_names(tmp_path, capsys):
    write(tmp_path / "a.csv")
    write(tmp_path / "b.csv", header="id,status,amount")

    code, told, _ = drift(capsys, "a.csv", "b.csv")

    assert (code, kinds(told)) == (1, ["column_renamed"])
    assert told["datasets"][0]["changes"][0]["evidence"]["by"] == "frequencies"


def test_nothing_changed_is_said(tmp_path, capsys):
    write(tmp_path / "a.csv")

    code = main(["drift", "a.csv", "a.csv"])

    assert (code, capsys.readouterr().out) == (0, "a.csv: no change against a.csv\n")


@pytest.mark.parametrize(("fail_on", "code"), [("breaking", 0), ("any", 1), ("never", 0)], ids=str)
def test_the_exit_code_is_what_was_asked_for(tmp_path, capsys, fail_on, code):
    write(tmp_path / "a.csv")
    write(tmp_path / "b.csv", state="sent")

    found, told, _ = drift(capsys, "a.csv", "b.csv", "--fail-on", fail_on)

    assert (found, sorted(kinds(told))) == (code, ["value_added", "value_removed"])


def test_folders_are_compared_file_by_file(tmp_path, capsys):
    for folder, names in (("was", ("a", "b")), ("now", ("b", "c"))):
        for name in names:
            write(tmp_path / folder / f"{name}.csv")

    code, told, _ = drift(capsys, "was", "now")

    assert code == 1
    assert [(one["was"], one["now"]) for one in told["datasets"]] == [("was/b.csv", "now/b.csv")]
    assert (told["removed"], told["added"]) == (["was/a.csv"], ["now/c.csv"])


def test_a_saved_look_is_as_good_as_the_file(tmp_path, capsys):
    write(tmp_path / "exports" / "a.csv")
    assert main(["discover", "exports", "--json"]) == 0
    (tmp_path / "before.json").write_text(capsys.readouterr().out)
    write(tmp_path / "exports" / "a.csv", header="id,status,amount")

    code, told, _ = drift(capsys, "before.json", "exports")

    assert (code, kinds(told)) == (1, ["column_renamed"])


def test_a_look_that_somebody_damaged_is_refused(tmp_path, capsys):
    write(tmp_path / "a.csv")
    (tmp_path / "before.json").write_text('{"datasets": [{"name": "x", "rows": "many"}]}')

    code, _, said = drift(capsys, "before.json", "a.csv")

    assert code == 2
    assert "airflow-etl discover --json" in said


def test_the_catalog_remembers_what_was(tmp_path, capsys, monkeypatch):
    store = SqlStore(f"sqlite:///{tmp_path}/metadata.db")
    migrate(store.engine)
    store.close()
    monkeypatch.setenv(
        "AIRFLOW_CONN_ETL_METADATA_DEFAULT",
        json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/metadata.db"}),
    )
    write(tmp_path / "a.csv")
    assert main(["discover", "a.csv", "--record"]) == 0
    write(tmp_path / "a.csv", header="id,status,amount")
    capsys.readouterr()

    code, told, _ = drift(capsys, "a.csv", "--catalog")

    assert (code, kinds(told)) == (1, ["column_renamed"])


def test_a_table_of_a_connection_is_named_behind_it(tmp_path, capsys, monkeypatch, postgres_server):
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", postgres_server)
    with psycopg2.connect(postgres_server) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA old; CREATE SCHEMA new")
        for schema, type in (("old", "int"), ("new", "bigint")):
            cursor.execute(
                f"CREATE TABLE {schema}.orders AS "
                f"SELECT n::{type} AS id FROM generate_series(1, 50) n"
            )

    code, told, _ = drift(capsys, "shop/old.orders", "shop/new.orders")

    (change,) = told["datasets"][0]["changes"]
    assert (code, change["kind"], change["was"], change["now"]) == (
        0, "type_widened", "int32", "int64",
    )  # fmt: skip


@pytest.mark.parametrize("words", [["a.csv"], ["a.csv", "b.csv", "--catalog"]])
def test_one_side_too_few_or_too_many_is_refused(capsys, words):
    code, _, said = drift(capsys, *words)

    assert code == 2
    assert "give B, or --catalog" in said


def test_what_is_not_there_is_named(tmp_path, capsys):
    write(tmp_path / "a.csv")

    code, told, said = drift(capsys, "a.csv", "b.csv")

    assert code == 1
    assert told["not_read"][0]["problem"]["code"] == "source_not_found"
    assert "b.csv" in said
