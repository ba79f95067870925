"""Attempts that are killed, overtaken or at work side by side: one clean load is what stays."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import duckdb
import pytest

from airflow_etl_provider.engines.targets.parquet_folder import local_store, read_folder
from airflow_etl_provider.engines.targets.parquet_folder.history import History
from airflow_etl_provider.engines.targets.parquet_folder.local_store import LocalStore
from airflow_etl_provider.engines.targets.parquet_folder.manifest import manifest_key
from airflow_etl_provider.exceptions import (
    FencedError,
    TargetChangedError,
    TargetError,
    TargetMissingError,
    TargetPermissionError,
    TargetUnavailableError,
    UndoError,
)
from tests.integration.targets.parquet_folder.folders import answer, run_child

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.targets.parquet_folder.folders import Folder

ROWS = [(n, f"p{n % 3}") for n in range(30)]

KILLED_AT = {
    "in the middle of a data file": "writer.FolderWriter._make_room = die",
    "after a data file": "local_store._LocalFile.seal = die",
    "before files are shown": "local_store.LocalStore.reveal = die",
    "while files are shown": "second(local_store.LocalStore, '_move')",
    "before the list of loads": "history.History.write_list = die",
    "before the manifest": "before(local_store.LocalStore, 'put_if_absent')",
    "after the manifest": "session.sweep = die",
    "in the middle of the sweep": "after(local_store.LocalStore, 'delete')",
}

BREAK = """
from airflow_etl_provider.engines.targets.parquet_folder import (
    history, local_store, session, sweep, writer
)

def second(owner, name):
    real, calls = getattr(owner, name), []
    def call(*args):
        calls.append(1)
        return real(*args) if len(calls) < 2 else die()
    setattr(owner, name, call)

def before(owner, name):
    setattr(owner, name, die)

def after(owner, name):
    real = getattr(owner, name)
    def call(*args):
        real(*args)
        die()
    setattr(owner, name, call)

write = {write!r}
s = folder.begin("b", **write)
{broken}
rows = [(n, f"p{{n % 3}}") for n in range(30)]
folder.publish(s, folder.write(s, rows))
die()
"""


@pytest.mark.parametrize("mode", ["append", "replace"])
@pytest.mark.parametrize("stage", KILLED_AT)
def test_a_load_that_is_killed_anywhere_runs_again_to_one_clean_load(
    folder: Folder, stage: str, mode: str
) -> None:
    write = {"mode": mode, "partition_by": ("name",)}
    folder.load("a", [(100, "p0"), (101, "p7")], **write)
    done = run_child(folder, BREAK.format(write=write, broken=KILLED_AT[stage]))
    assert done.returncode == -signal.SIGKILL, done.stderr
    survived = stage in ("after the manifest", "in the middle of the sweep")
    expected = 32 if mode == "append" else 30
    assert read_folder(f"{folder.root}/").rows == (expected if survived else 2)
    assert (folder.load("b", ROWS, **write) is None) is survived
    found = folder.rows()
    assert len(found) == len(set(found)) == expected
    assert folder.pending() == []
    assert sorted(map(str, folder.data())) == sorted(read_folder(f"{folder.root}/").locations)
    assert [entry.load_id[0] for entry in folder.target().ledger()] == ["a", "b"]


def test_what_another_load_left_is_swept_once_it_is_old_enough(folder: Folder) -> None:
    folder.load("a", [(1, "one")])
    done = run_child(folder, BREAK.format(write={}, broken=KILLED_AT["before the manifest"]))
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder.load("c", [(2, "two")])
    assert len(folder.rows()) == 32, "the attempt might still live"
    later = datetime.now(timezone.utc) + timedelta(days=8)
    folder.options = {"clock": lambda: later}
    folder.load("d", [(3, "three")])
    assert folder.rows() == [(1, "one"), (2, "two"), (3, "three")]


def test_files_of_a_living_attempt_are_left_alone(folder: Folder) -> None:
    with folder.begin("a") as session:
        count = folder.write(session, ROWS)
        folder.load("b", [(100, "x")])
        folder.load("c", [(101, "x")], mode="replace")
        folder.publish(session, count)
    assert len(folder.rows()) == 31


def test_an_attempt_that_took_too_long_publishes_nothing(folder: Folder) -> None:
    with folder.begin("a") as session:
        count = folder.write(session, ROWS)
        later = datetime.now(timezone.utc) + timedelta(days=8)
        folder.options = {"clock": lambda: later}
        folder.load("b", [(1, "one")])
        with pytest.raises(FencedError):
            folder.publish(session, count)
    assert folder.rows() == [(1, "one")]


WORKER = """
s = folder.begin({load!r})
print(json.dumps(s.epoch), flush=True)
sys.stdin.readline()
rows = [(n, {load!r}) for n in range(200)]
try:
    folder.publish(s, folder.write(s, rows))
    print(json.dumps("published"), flush=True)
except Exception as error:
    s.abort()
    print(json.dumps(error.code), flush=True)
"""


def test_of_two_workers_with_one_load_the_later_one_publishes(folder: Folder) -> None:
    workers = []
    for _ in range(2):
        worker = run_child(folder, WORKER.format(load="a"), wait=False)
        workers.append((worker, int(worker.stdout.readline())))
    said = {}
    for worker, epoch in workers:
        out, _ = worker.communicate("go\n")
        said[epoch] = out.strip()
    assert said == {1: '"fenced"', 2: '"published"'}
    assert len(folder.rows()) == 200
    assert folder.pending() == []


def test_different_loads_at_the_same_time_all_land(folder: Folder) -> None:
    workers = [run_child(folder, WORKER.format(load=load), wait=False) for load in "abcd"]
    for worker in workers:
        worker.stdout.readline()
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert [worker.communicate()[0].strip() for worker in workers] == ['"published"'] * 4
    assert len(folder.rows()) == 800
    assert sorted(entry.load_id[0] for entry in folder.target().ledger()) == list("abcd")


PAUSED = """
from airflow_etl_provider.engines.targets.parquet_folder.history import History
from airflow_etl_provider.engines.targets.parquet_folder.local_store import LocalStore
s = folder.begin("a")
count = folder.write(s, [(n, "zombie") for n in range(200)])
real = LocalStore.put_if_absent
def paused(*args):
    LocalStore.put_if_absent = real
    print(json.dumps("pausing"), flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    return real(*args)
LocalStore.put_if_absent = paused
try:
    folder.publish(s, count)
    print(json.dumps("published"))
except Exception as error:
    s.abort()
    print(json.dumps(error.code))
"""


def test_a_worker_that_wakes_up_after_its_successor_publishes_nothing(folder: Folder) -> None:
    zombie = run_child(folder, PAUSED, wait=False)
    assert zombie.stdout.readline().strip() == '"pausing"'
    os.waitid(os.P_PID, zombie.pid, os.WSTOPPED | os.WNOWAIT)
    folder.load("a", [(1, "successor")])
    assert folder.rows() == [(1, "successor")], "what the zombie had shown is swept"
    zombie.send_signal(signal.SIGCONT)
    out, _ = zombie.communicate()
    assert out.splitlines()[-1] == '"fenced"'
    assert folder.rows() == [(1, "successor")]


def test_a_writer_that_slept_through_many_versions_does_not_take_an_old_number(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, slept = LocalStore.put_if_absent, []

    def sleep(store: LocalStore, key: str, data: bytes) -> bool:
        if not slept and key.startswith("_etl/manifest/"):
            slept.append(key)
            for n in range(12):
                folder.load(chr(ord("b") + n), [(n, "meanwhile")])
            assert not (folder.root / key).exists(), "the number is free again"
        return real(store, key, data)

    with folder.begin("a") as session:
        count = folder.write(session, [(100, "slept")])
        monkeypatch.setattr(LocalStore, "put_if_absent", sleep)
        folder.publish(session, count)
    assert not (folder.root / slept[0]).exists()
    assert (100, "slept") in folder.rows()
    assert len(folder.rows()) == 13
    assert len(folder.target().ledger()) == 13


def test_a_first_load_that_another_with_more_columns_overtook_runs_again(folder: Folder) -> None:
    columns = {"id": "int64"}
    with folder.begin("b", columns=columns) as session:
        count = folder.write(session, [(5,)])
        folder.load("a", [(1, "one")])
        with pytest.raises(TargetChangedError):
            folder.publish(session, count)
    assert folder.rows() == [(1, "one")]
    folder.load("b", [(5,)], columns=columns)
    assert folder.rows() == [(1, "one"), (5, None)]


def test_a_first_load_with_the_columns_in_another_order_lands_all_the_same(folder: Folder) -> None:
    with folder.begin("b", columns={"name": "string", "id": "int64"}) as session:
        count = folder.write(session, [("five", 5)])
        folder.load("a", [(1, "one")])
        folder.publish(session, count)
    schema = folder.target().schema()
    assert schema is not None
    assert list(schema.names) == ["id", "name"]
    assert folder.rows() == [(1, "one"), (5, "five")]
    found = read_folder(f"{folder.root}/")
    query = "select id, name from read_parquet(?) order by id"
    assert duckdb.execute(query, [found.locations]).fetchall() == [(1, "one"), (5, "five")]


def landed_unnoticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next manifest arrive, and its writer take it for another's."""
    real, told = LocalStore.put_if_absent, []

    def put(store: LocalStore, key: str, data: bytes) -> bool:
        landed = real(store, key, data)
        if told or not key.startswith("_etl/manifest/"):
            return landed
        told.append(key)
        return False

    monkeypatch.setattr(LocalStore, "put_if_absent", put)


def intact(folder: Folder) -> bool:
    """Whether all that the newest version names is there, and nothing else."""
    found = folder.target().history.read()
    assert found is not None
    lists = {str(path.relative_to(folder.root)) for path in folder.root.glob("_etl/loads/*")}
    data = {str(path.relative_to(folder.root)) for path in folder.data()}
    return data == found.live_keys() and {ref.key for ref, _ in found.lists} <= lists


def test_a_publish_that_many_others_followed_before_it_looked_is_one(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.load("0", [(0, "zero")])
    with folder.begin("a") as session:
        count = folder.write(session, [(1, "one")])
        real, looked = History.versions, []

        def slow(history: History) -> list[int]:
            if history is session._target.history and (folder.root / mine).exists() and not looked:
                looked.append(mine)
                for n in range(25):
                    folder.load(chr(ord("b") + n), [(100 + n, "other")])
            return real(history)

        mine = manifest_key(folder.target().history.versions()[-1] + 1)
        monkeypatch.setattr(History, "versions", slow)
        assert folder.publish(session, count).rows_loaded == 1
        assert looked
    assert intact(folder)
    assert len(folder.rows()) == 27
    assert folder.load("a", [(1, "one")]) is None


def test_a_publish_that_is_taken_for_a_lost_race_is_found(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.load("0", [(0, "zero")])
    with folder.begin("a") as session:
        count = folder.write(session, [(1, "one")])
        landed_unnoticed(monkeypatch)
        folder.publish(session, count)
    assert intact(folder)
    assert folder.rows() == [(0, "zero"), (1, "one")]
    assert [entry.load_id[0] for entry in folder.target().ledger()] == ["0", "a"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT])
@pytest.mark.parametrize("arrived", [True, False])
def test_a_disk_that_does_not_answer_for_a_manifest_takes_no_files_along(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, number: int, arrived: bool
) -> None:
    folder.load("0", [(0, "zero")])
    real = os.link

    def link(source: Path, path: Path) -> None:
        if "manifest" not in str(path):
            return real(source, path)
        if arrived:
            real(source, path)
        raise OSError(number, "no answer")

    with folder.begin("a") as session:
        count = folder.write(session, [(1, "one")])
        with monkeypatch.context() as patched:
            patched.setattr(local_store.os, "link", link)
            if arrived:
                folder.publish(session, count)
            else:
                with pytest.raises(TargetUnavailableError):
                    folder.publish(session, count)
    assert (folder.load("a", [(1, "one")]) is None) is arrived
    assert intact(folder)
    assert folder.rows() == [(0, "zero"), (1, "one")]


def test_whoever_gives_up_keeps_what_turns_out_to_be_live(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LocalStore.put_if_absent

    def refuse(store: LocalStore, key: str, data: bytes) -> bool:
        real(store, key, data)
        raise TargetPermissionError("No, said a store that had done it.")

    with folder.begin("a") as session:
        count = folder.write(session, [(1, "one")])
        monkeypatch.setattr(LocalStore, "put_if_absent", refuse)
        with pytest.raises(TargetPermissionError):
            folder.publish(session, count)
    monkeypatch.setattr(LocalStore, "put_if_absent", real)
    assert intact(folder)
    assert folder.load("a", [(1, "one")]) is None


def test_each_try_to_publish_writes_a_list_of_its_own(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.load("0", [(0, "zero")])
    written: list[str] = []
    real, raced = History.write_list, []

    def write_list(history: History, key: str, records: object) -> None:
        real(history, key, records)  # type: ignore[arg-type]
        written.append(key)
        if not raced:
            raced.append(key)
            folder.load("b", [(2, "two")])

    with folder.begin("a") as session:
        count = folder.write(session, [(1, "one")])
        monkeypatch.setattr(History, "write_list", write_list)
        folder.publish(session, count)
    assert len(set(written)) == 3
    assert len(list(folder.root.glob("_etl/loads/*"))) == 3, "that of the first try is swept"
    assert folder.rows() == [(0, "zero"), (1, "one"), (2, "two")]


def test_an_undo_that_is_taken_for_a_lost_race_is_found(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.load("a", [(1, "one")])
    folder.load("b", [(2, "two")])
    landed_unnoticed(monkeypatch)
    assert folder.target().undo("a" * 32).rows_deleted == 1
    assert intact(folder)
    assert folder.rows() == [(2, "two")]
    with pytest.raises(UndoError):
        folder.target().undo("a" * 32)


def test_without_hard_links_a_folder_is_written_with_care(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(local_store.os, "link", no_links)
    folder.load("a", [(1, "one")])
    folder.load("b", [(2, "two")])
    zombie = folder.begin("c")
    folder.load("c", [(3, "three")])
    with pytest.raises(FencedError):
        folder.publish(zombie, folder.write(zombie, [(3, "zombie")]))
    zombie.abort()
    assert folder.rows() == [(1, "one"), (2, "two"), (3, "three")]
    target = folder.target()
    target.store.prepare()
    assert not target.store.fenced


def test_threads_of_one_process_publish_side_by_side(folder: Folder) -> None:
    def work(load: str) -> None:
        folder.load(load, [(n, load) for n in range(10)])

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, "abcdef"))
    assert len(folder.rows()) == 60


def test_a_manifest_whose_fate_is_not_known_takes_no_files_along(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = LocalStore.put_if_absent

    def cut(store: LocalStore, key: str, data: bytes) -> bool:
        real(store, key, data)
        raise TargetUnavailableError("The answer never came.")

    with folder.begin("a") as session:
        count = folder.write(session, [(1, "one")])
        monkeypatch.setattr(LocalStore, "put_if_absent", cut)
        with pytest.raises(TargetUnavailableError):
            folder.publish(session, count)
    monkeypatch.setattr(LocalStore, "put_if_absent", real)
    assert folder.load("a", [(1, "one")]) is None, "it had arrived"
    assert folder.rows() == [(1, "one")]


def test_a_refused_manifest_leaves_nothing_to_be_seen(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(store: LocalStore, key: str, data: bytes) -> bool:
        raise TargetPermissionError("No.")

    with folder.begin("a") as session:
        count = folder.write(session, [(1, "one")])
        monkeypatch.setattr(LocalStore, "put_if_absent", refuse)
        with pytest.raises(TargetPermissionError):
            folder.publish(session, count)
    assert folder.data() == []


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 99}', b"\xff\xfe"]
)
def test_a_damaged_manifest_is_told_and_left_as_it_is(folder: Folder, damage: bytes) -> None:
    folder.load("a", [(1, "one")])
    folder.load("b", [(2, "two")])
    newest = folder.root / manifest_key(folder.target().history.versions()[-1])
    newest.write_bytes(damage)
    for call in (folder.begin, folder.target().ledger, folder.target().schema):
        with pytest.raises(TargetError, match=newest.name):
            call()
    assert newest.read_bytes() == damage
    assert len(folder.rows()) == 2


def test_a_damaged_or_missing_list_is_told(folder: Folder) -> None:
    folder.load("a", [(1, "one")])
    [path] = (folder.root / "_etl/loads").glob("*")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(TargetError, match=path.name):
        folder.begin("b")
    path.unlink()
    with pytest.raises(TargetError, match="list of loads"):
        folder.begin("b")
    path.write_bytes(whole)
    folder.load("b", [(2, "two")])
    assert folder.rows() == [(1, "one"), (2, "two")]


def test_a_folder_must_have_a_place(folder: Folder, tmp_path: Path) -> None:
    folder.root = tmp_path / "missing" / "orders"
    with pytest.raises(TargetMissingError, match="missing"):
        folder.begin()
    (tmp_path / "file").touch()
    folder.root = tmp_path / "file"
    with pytest.raises(TargetError, match="is a file"):
        folder.begin()


def test_a_folder_that_may_not_be_written_is_told(folder: Folder) -> None:
    folder.load("a", [(1, "one")])
    if os.geteuid() == 0:
        code = """
            os.setgroups([]); os.setgid(65534); os.setuid(65534)
            try:
                folder.load("b", [(2, "two")])
            except Exception as error:
                print(json.dumps(error.code))
        """
        for path in (folder.root, *folder.root.parents):
            if path.stat().st_uid == 0 and path.is_relative_to("/tmp/pytest-of-root"):
                path.chmod(path.stat().st_mode | 0o755)
        assert answer(run_child(folder, code)) == "target_permission"
    else:
        folder.root.chmod(0o500)
        (folder.root / "_etl/pending").chmod(0o500)
        try:
            with pytest.raises(TargetPermissionError):
                folder.load("b", [(2, "two")])
        finally:
            folder.root.chmod(0o700)
            (folder.root / "_etl/pending").chmod(0o700)
    assert folder.rows() == [(1, "one")]


def test_a_full_disk_leaves_the_folder_as_it_was(folder: Folder, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk takes the right to mount one")
    try:
        folder.root = small / "orders"
        folder.load("a", [(1, "one")])
        noise = [(n, os.urandom(600).hex()) for n in range(3000)]
        with folder.begin("b") as session, pytest.raises(TargetError, match="No space"):
            folder.write(session, noise)
        assert folder.rows() == [(1, "one")]
        assert folder.pending() == []
        folder.load("c", [(2, "two")])
        assert folder.rows() == [(1, "one"), (2, "two")]
    finally:
        subprocess.run(["umount", str(small)], check=True)
        shutil.rmtree(small)
