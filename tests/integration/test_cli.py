"""The command from end to end, each time in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import duckdb
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from pathlib import Path

CLEAN = "id,name,amount\n1,Ada,1.50\n2,Grace,2.25\n"
DIRTY = "id,name,amount\n1,Ada,1.50\n2,Grace,2.25,surplus\n3,Edsger,3.75\n"

REPORT = {
    "status",
    "run_id",
    "load_id",
    "rows_read",
    "rows_loaded",
    "rows_quarantined",
    "rows_filtered",
    "bytes_read",
    "seconds",
    "rows_per_second",
    "reasons",
    "quarantine",
    "target",
}

PIPELINE = """\
pipeline: people
source: {{ location: people.csv, format: csv{incremental} }}
target: {{ connection: warehouse, table: people }}
"""


WITHOUT_PANDAS = pytest.mark.skipif(
    duckdb.__version__ < "2", reason="DuckDB 1.5, which serves Python 3.10, imports pandas itself"
)


class Shell:
    """Runs the command in a folder, with an environment that knows no Airflow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wrapper: list[str] = []
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")
        } | {"HOME": str(folder)}

    def command(self, *words: str) -> list[str]:
        return [*self.wrapper, sys.executable, "-m", "airflow_etl_provider.cli", *words]

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def start(self, *words: str, **streams: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*words), cwd=self.folder, env=self.environment, text=True, **streams
        )

    def modules(self, *words: str) -> set[str]:
        """What one command, which has to do its work, imports."""
        program = (
            "import sys; from airflow_etl_provider.cli import main; code = main(sys.argv[1:]); "
            "print(*sys.modules); raise SystemExit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 3, done.stderr
        return set(done.stdout.split())

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8", newline="")
        return path


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def rows_of(database: Path, table: str) -> int:
    with duckdb.connect(str(database), read_only=True) as connection:
        return len(connection.table(table).fetchall())


# load


def test_a_clean_file_is_loaded_and_the_report_is_all_there_is_on_stdout(shell):
    shell.write("people.csv", CLEAN)

    done = shell("load", "people.csv", "people.parquet", "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) >= REPORT
    assert (report["status"], report["rows_read"], report["rows_loaded"]) == ("done", 2, 2)
    assert pq.read_table(shell.folder / "people.parquet").num_rows == 2


def test_without_json_stdout_stays_empty(shell):
    shell.write("people.csv", CLEAN)

    done = shell("load", "people.csv", "people.parquet")

    assert (done.returncode, done.stdout) == (0, "")
    assert "2 rows read = 2 loaded + 0 quarantined" in done.stderr


def test_rejected_rows_make_exit_code_3_and_can_be_looked_at(shell):
    shell.write("people.csv", DIRTY)

    done = shell("load", "people.csv", "duckdb:///w.duckdb", "--json")

    assert done.returncode == 3, done.stderr
    report = json.loads(done.stdout)
    assert report["reasons"] == {"wrong_field_count": 1}
    shown = shell("quarantine", "show", report["quarantine"], "--json")
    (reject,) = json.loads(shown.stdout)
    assert (reject["record"], reject["raw"].strip()) == (2, "2,Grace,2.25,surplus")
    listed = shell("quarantine", "list", str(shell.folder), "--json")
    assert [q["location"] for q in json.loads(listed.stdout)] == [report["quarantine"]]


def test_people_see_where_a_rejected_row_stood_and_why(shell):
    shell.write("people.csv", DIRTY)
    report = json.loads(shell("load", "people.csv", "people.parquet", "--json").stdout)

    shown = shell("quarantine", "show", report["quarantine"])

    assert shown.returncode == 0
    assert "people.csv, record 2" in shown.stdout
    assert "wrong_field_count" in shown.stdout
    assert "> 2,Grace,2.25,surplus" in shown.stdout


def test_over_the_budget_nothing_is_published(shell):
    shell.write("people.csv", DIRTY)

    done = shell("load", "people.csv", "people.parquet", "--max-rejected", "0", "--json")

    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert report["status"] == "failed"
    assert report["error"]["code"] == "too_many_rejected"
    assert not (shell.folder / "people.parquet").exists()


def test_all_text_rewrites_a_dirty_csv_as_a_clean_one(shell):
    shell.folder.joinpath("messy.csv").write_bytes("\ufeffid;näme\r\n007;1,5\r\n".encode())

    done = shell("load", "messy.csv", "clean.csv", "--all-text")

    assert done.returncode == 0, done.stderr
    assert (shell.folder / "clean.csv").read_bytes().decode().splitlines() == [
        "id,näme",
        '007,"1,5"',
    ]


def test_the_same_load_again_does_nothing(shell):
    shell.write("people.csv", CLEAN)
    first = json.loads(shell("load", "people.csv", "duckdb:///w.duckdb", "--json").stdout)

    again = shell("load", "people.csv", "duckdb:///w.duckdb", "--json")

    assert again.returncode == 0
    report = json.loads(again.stdout)
    assert (report["status"], report["load_id"]) == ("already_loaded", first["load_id"])
    assert rows_of(shell.folder / "w.duckdb", "people") == 2


def test_merge_updates_by_key(shell):
    shell.write("people.csv", CLEAN)
    merge = ("--table", "people", "--mode", "merge", "--key", "id")
    shell("load", "people.csv", "duckdb:///w.duckdb", *merge)
    shell.write("people.csv", CLEAN.replace("Grace", "Hopper") + "3,Edsger,3.75\n")

    done = shell("load", "people.csv", "duckdb:///w.duckdb", *merge)

    assert done.returncode == 0, done.stderr
    with duckdb.connect(str(shell.folder / "w.duckdb"), read_only=True) as connection:
        names = connection.execute("select name from people order by id").fetchall()
    assert names == [("Ada",), ("Hopper",), ("Edsger",)]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["load", "nowhere.csv", "a.parquet"], 1, "nowhere.csv"),
        (["load", "people.csv", "a.what"], 2, "Supported are"),
        (["load", "people.csv", "s3://lake/a.parquet"], 2, "not supported yet"),
        (["load", "people.csv", "a.parquet", "--mode", "sideways"], 2, "invalid choice"),
        (["load", "people.csv", "duckdb:///w.db", "--mode", "merge"], 2, "key"),
        (["load", "people.csv", "a.parquet", "--max-rejected", "some"], 2, "max_rejected"),
        (["load", "-", "a.parquet"], 2, "Standard input"),
        (["load", "people.csv"], 2, "TARGET"),
        (["run", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["quarantine", "show", "nowhere"], 1, "nowhere"),
        (["quarantine", "list", "nowhere"], 1, "nowhere"),
        ([], 2, "usage"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(shell, words, code, says):
    shell.write("people.csv", CLEAN)

    done = shell(*words)

    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_where_an_error_came_from(shell):
    assert "Traceback" in shell("load", "nowhere.csv", "a.parquet", "--debug").stderr


def test_a_password_is_in_no_output(shell):
    shell.write("people.csv", CLEAN)

    done = shell("load", "people.csv", "postgresql://me:hunter2@127.0.0.1:1/shop", "--json")

    assert done.returncode == 1
    assert json.loads(done.stdout)["status"] == "failed"
    assert "hunter2" not in done.stdout + done.stderr


def test_a_load_that_fails_before_it_reads_reports_the_same_keys(shell):
    shell.write("people.csv", "")

    done = shell("load", "people.csv", "people.parquet", "--json")

    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert set(report) >= REPORT
    assert (report["status"], report["rows_read"], report["rows_loaded"]) == ("failed", 0, 0)
    assert report["error"]["code"] == "source_format"


@WITHOUT_PANDAS
@pytest.mark.parametrize("target", ["people.parquet", "people.csv", "duckdb:///w.duckdb"])
def test_a_load_does_not_pay_for_importing_pandas(shell, target):
    shell.write("people.csv", DIRTY)

    assert shell.modules("load", "people.csv", target) & {"pandas", "duckdb"} == {"duckdb"}


@WITHOUT_PANDAS
@pytest.mark.postgres
def test_a_load_into_postgres_does_not_pay_for_importing_pandas(shell, postgres_server):
    shell.write("people.csv", DIRTY)

    loaded = shell.modules("load", "people.csv", postgres_server)

    assert loaded & {"pandas", "duckdb"} == {"duckdb"}


# run, check, schema


def test_a_pipeline_runs_with_a_connection_from_the_environment(shell):
    shell.write("people.csv", CLEAN)
    shell.write("people.yaml", PIPELINE.format(incremental=""))
    shell.environment["AIRFLOW_CONN_WAREHOUSE"] = f"duckdb:///{shell.folder}/w.duckdb"

    done = shell("run", "people.yaml", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pipeline"] == "people"
    assert rows_of(shell.folder / "w.duckdb", "people") == 2


def test_a_missing_connection_is_a_matter_of_the_specification(shell):
    shell.write("people.csv", CLEAN)
    shell.write("people.yaml", PIPELINE.format(incremental=""))

    done = shell("run", "people.yaml", "--json")

    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "connection_not_found"
    assert "AIRFLOW_CONN_WAREHOUSE" in done.stderr


def test_a_pipeline_by_data_interval_takes_its_window_from_the_command(shell):
    shell.write("people.csv", "id,at\n1,2026-01-01 08:00:00\n2,2026-01-02 08:00:00\n")
    shell.write(
        "people.yaml",
        PIPELINE.format(incremental=", incremental: { by: data_interval, column: at }"),
    )
    shell.environment["AIRFLOW_CONN_WAREHOUSE"] = f"duckdb:///{shell.folder}/w.duckdb"

    without = shell("run", "people.yaml")
    done = shell("run", "people.yaml", "--start", "2026-01-01", "--end", "2026-01-02", "--json")

    assert without.returncode == 2
    assert "--start" in without.stderr
    report = json.loads(done.stdout)
    assert (report["rows_loaded"], report["rows_filtered"]) == (1, 1)


def test_a_sound_pipeline_passes_the_check_and_nothing_is_written(shell):
    shell.write("people.csv", DIRTY)
    shell.write("people.yaml", PIPELINE.format(incremental=""))
    shell.environment["AIRFLOW_CONN_WAREHOUSE"] = f"duckdb:///{shell.folder}/w.duckdb"

    plain = shell("check", "people.yaml", "--json")
    tried = shell("check", "people.yaml", "--dry-run", "10", "--json")

    assert plain.returncode == tried.returncode == 0, tried.stderr
    assert json.loads(plain.stdout)["status"] == "ok"
    assert json.loads(tried.stdout)["rows_good"] == 2
    assert not (shell.folder / "w.duckdb").exists()


def test_a_mistake_is_named_with_file_line_and_key(shell):
    shell.write("people.yaml", PIPELINE.format(incremental="") + "colour: red\n")

    done = shell("check", "people.yaml")

    assert done.returncode == 2
    assert "people.yaml" in done.stderr
    assert "line 4" in done.stderr or ":4" in done.stderr
    assert "colour" in done.stderr


@pytest.mark.parametrize("kind", ["pipeline", "contract"])
def test_the_schema_is_json(shell, kind):
    done = shell("schema", kind)

    assert done.returncode == 0
    assert "properties" in json.loads(done.stdout)


# folders


def test_a_folder_of_parquet_files_is_loaded_and_its_files_are_named(shell):
    shell.write("people.csv", CLEAN)
    shell.write("more.csv", "id,name,amount\n3,Edsger,3.75\n")

    assert shell("load", "people.csv", "people/", "--partition-by", "name").returncode == 0
    assert shell("load", "more.csv", "people/").returncode == 0
    assert shell("load", "more.csv", "people/").returncode == 0
    listed = shell("files", "people/")
    told = json.loads(shell("files", "people/", "--json").stdout)

    locations = listed.stdout.splitlines()
    assert len(locations) == 3
    rows = duckdb.execute(
        "select id, name from read_parquet(?, hive_partitioning = true) order by id", [locations]
    )
    assert rows.fetchall() == [(1, "Ada"), (2, "Grace"), (3, "Edsger")]
    assert [file["location"] for file in told["files"]] == locations
    assert (told["rows"], told["partition_by"]) == (3, ["name"])
    assert {file["partition"]["name"] for file in told["files"]} == {"Ada", "Grace", "Edsger"}


def test_what_is_no_folder_of_ours_has_no_files_to_name(shell):
    assert shell("files", "people.csv").returncode == 2
    assert "No load has published" in shell("files", "people/").stderr
    replaced = shell("load", "people.csv", "people/", "--mode", "replace_partition")
    assert "--partition-by" in replaced.stderr


# processes, streams and signals


def test_help_comes_without_the_engine_and_a_load_without_airflow(shell):
    shell.write("people.csv", CLEAN)
    script = (
        "import sys\n"
        "from airflow_etl_provider.cli import main\n"
        "heavy = {'duckdb', 'pyarrow', 'sqlglot', 'pydantic', 'airflow'}\n"
        "assert main(['--version']) == 0\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert main(['load', 'people.csv', 'people.parquet']) == 0\n"
        "assert 'airflow' not in sys.modules\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


def test_a_reader_that_went_away_does_not_fail_the_load(shell):
    shell.write("people.csv", CLEAN)
    reading, writing = os.pipe()
    os.close(reading)

    process = shell.start(
        "load", "people.csv", "a.parquet", "--json", stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    _, errors = process.communicate()

    assert process.returncode == 0, errors
    assert "Broken" not in errors
    assert (shell.folder / "a.parquet").exists()


def test_a_terminal_gets_a_progress_bar_that_is_gone_at_the_end(shell):
    shell.write("people.csv", CLEAN)
    ours, theirs = pty.openpty()

    process = shell.start(
        "load", "people.csv", "a.parquet", "--json", stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    output, drawn = process.communicate()[0], b""
    while True:
        try:
            if not (some := os.read(ours, 65536)):
                break
        except OSError:
            break
        drawn += some
    os.close(ours)

    assert json.loads(output)["status"] == "done"
    assert b"rows/s" in drawn
    assert b"\r\x1b[K" in drawn


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_load_that_is_told_to_stop_publishes_nothing(shell, number):
    line = "1234567,some text that takes a while,2026-01-01 08:00:00,9.99\n"
    shell.write("big.csv", "id,words,at,price\n" + line * 3_000_000)

    process = shell.start(
        "load", "big.csv", "duckdb:///w.duckdb", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None and not (shell.folder / "w.duckdb").exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate()

    assert process.returncode == 1, errors
    assert "nothing" in errors
    assert "Traceback" not in errors
    with duckdb.connect(str(shell.folder / "w.duckdb"), read_only=True) as connection:
        tables = connection.execute("select table_name from duckdb_tables()").fetchall()
    assert ("big",) not in tables or rows_of(shell.folder / "w.duckdb", "big") == 0


def test_an_empty_file_loaded_as_text_has_no_records(shell):
    shell.write("empty.csv", "")

    done = shell("load", "empty.csv", "made.csv", "--all-text", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows_read"] == 0
    assert (shell.folder / "made.csv").read_text().split() == ["column_1"]


@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None,
    reason="root may look into every folder, and there is no setpriv to take that right away",
)
@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("load", "shut/people.csv", "made.csv"), "source_error"),
        (("load", "people.csv", "shut/made.csv"), "target_permission"),
        (("load", "people.csv", "duckdb:///shut/w.duckdb"), "target_permission"),
        (("quarantine", "list", "shut"), "quarantine_error"),
    ],
)
def test_a_folder_that_may_not_be_entered_is_told_as_that(shell, words, code):
    shell.write("people.csv", CLEAN)
    (shell.folder / "shut").mkdir(mode=0)
    if os.geteuid() == 0:
        shell.wrapper = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]

    done = shell(*words)

    assert done.returncode == 1
    assert f"[{code}]" in done.stderr


def test_a_replacement_by_nothing_is_pointed_out(shell):
    shell.write("people.csv", CLEAN.splitlines()[0] + "\n")

    done = shell("load", "people.csv", "people.parquet")

    assert "it is empty now" in done.stderr
