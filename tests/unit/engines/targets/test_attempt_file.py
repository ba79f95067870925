from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from airflow_etl_provider.engines.targets import attempt_file
from airflow_etl_provider.engines.targets.attempt_file import (
    AttemptFile,
    living_epochs,
    locked_folder,
    os_error_of,
    sweep_dead_attempts,
)
from airflow_etl_provider.exceptions import (
    TargetError,
    TargetMissingError,
    TargetPermissionError,
    TargetUnavailableError,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_the_dead_are_swept_and_the_living_are_not(tmp_path: Path) -> None:
    target = tmp_path / "x.csv"
    living = AttemptFile(target, load_id="a" * 32, epoch=1)
    dead = AttemptFile(target, load_id="a" * 32, epoch=2)
    dead.file.close()
    other = AttemptFile(tmp_path / "y.csv", load_id="a" * 32, epoch=1)
    other.file.close()
    assert living_epochs(target, "a" * 32) == [1, 2]
    assert sweep_dead_attempts(target) == [dead.path]
    assert living_epochs(target, "a" * 32) == [1]
    assert living.path.exists()
    assert other.path.exists()


def test_epochs_are_those_of_one_load(tmp_path: Path) -> None:
    AttemptFile(tmp_path / "x", load_id="a" * 32, epoch=5)
    attempt = AttemptFile(tmp_path / "x", load_id="b" * 32, epoch=7)
    assert living_epochs(tmp_path / "x", "b" * 32) == [7]
    attempt.discard()
    attempt.discard()
    assert living_epochs(tmp_path / "x", "b" * 32) == []


def test_publishing_gives_the_name_and_leaves_no_other(tmp_path: Path) -> None:
    attempt = AttemptFile(tmp_path / "x", load_id="a", epoch=1)
    attempt.file.write(b"content")
    attempt.publish()
    attempt.discard()
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"content")]


def test_a_folder_that_others_hold_is_waited_for_and_then_an_error(tmp_path: Path) -> None:
    with (
        locked_folder(tmp_path, wait_seconds=0),
        pytest.raises(TargetUnavailableError, match=str(tmp_path)),
        locked_folder(tmp_path, wait_seconds=0),
    ):
        pass
    with locked_folder(tmp_path, wait_seconds=0):
        pass


def test_without_locks_work_goes_on_and_nothing_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(attempt_file.fcntl, "flock", no_locks)
    attempt = AttemptFile(tmp_path / "x", load_id="a", epoch=1)
    with locked_folder(tmp_path, wait_seconds=0):
        assert sweep_dead_attempts(tmp_path / "x") == []
    assert attempt.path.exists()


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, TargetError),
        (errno.EACCES, TargetPermissionError),
        (errno.EROFS, TargetPermissionError),
        (errno.ENOENT, TargetMissingError),
        (errno.ELOOP, TargetError),
        (errno.EIO, TargetUnavailableError),
        (errno.ESTALE, TargetUnavailableError),
        (errno.ETIMEDOUT, TargetUnavailableError),
    ],
)
def test_what_the_system_refuses_has_a_class_of_ours(
    tmp_path: Path, number: int, kind: type[TargetError]
) -> None:
    error = os_error_of(OSError(number, "x"), tmp_path / "out.csv", doing="Publishing")
    assert type(error) is kind
    assert str(tmp_path / "out.csv") in str(error)
