"""Copies of remote files: they go with the run, also where the run was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.engines.sources.depot import Depot
from airflow_etl_provider.engines.sources.locked_folder import LOCK, PREFIX

if TYPE_CHECKING:
    from pathlib import Path

KILLED = """
import os, signal, sys
from pathlib import Path
from airflow_etl_provider.engines.sources.depot import Depot

depot = Depot(scratch=Path(sys.argv[1]))
place = depot.add(4, lambda path, stopped: path.write_bytes(b"rows"))
print(depot.fetch(place), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def fetched(scratch: Path) -> tuple[Depot, Path]:
    depot = Depot(scratch=scratch)
    place = depot.add(4, lambda path, _: path.write_bytes(b"rows") and None)
    return depot, depot.fetch(place)


def left(scratch: Path, name: str, *, lock: bool = True) -> Path:
    """What a dead process may have left."""
    folder = scratch / f"{PREFIX}{name}"
    folder.mkdir()
    (folder / "0000000").write_bytes(b"rows")
    if lock:
        (folder / LOCK).touch()
    return folder


def test_the_copies_of_a_killed_process_are_removed_by_the_next_one(tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    (folder,) = tmp_path.iterdir()
    assert killed.stdout.startswith(str(folder))
    assert (folder / "0000000").read_bytes() == b"rows"

    Depot(scratch=tmp_path).close()

    assert list(tmp_path.iterdir()) == []


def test_the_copies_of_the_living_stay(tmp_path: Path) -> None:
    first, copy = fetched(tmp_path)
    Depot(scratch=tmp_path).close()
    assert copy.read_bytes() == b"rows"
    first.close()
    first.close()
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_another_kind_is_touched(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (scratch / f"{PREFIX}link").symlink_to(elsewhere)
    (scratch / f"{PREFIX}file").touch()
    (left(scratch, "linked", lock=False) / LOCK).symlink_to(elsewhere / LOCK)
    os.mkfifo(left(scratch, "pipe", lock=False) / LOCK)
    left(scratch, "unlocked", lock=False)
    (scratch / "airflow-etl-other").mkdir()
    (scratch / "airflow-etl-other" / LOCK).touch()
    before = sorted(scratch.rglob("*"))

    Depot(scratch=scratch).close()

    assert sorted(scratch.rglob("*")) == before
    assert (elsewhere / LOCK).exists()


def test_links_in_a_folder_of_the_dead_are_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    (left(tmp_path, "dead") / "link").symlink_to(elsewhere)

    Depot(scratch=tmp_path).close()

    assert list(tmp_path.iterdir()) == [elsewhere]
    assert (elsewhere / "kept").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to others")
def test_what_belongs_to_another_user_is_left_to_that_user(tmp_path: Path) -> None:
    folder = left(tmp_path, "theirs")
    os.chown(folder, 12_345, -1)

    Depot(scratch=tmp_path).close()

    assert (folder / "0000000").exists()
