"""What this Airflow's configuration says in its section `[etl]`."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SECTION", "Settings", "read_settings"]

SECTION = "etl"

_MEMORY = (64, 2**24)
_THREADS = (1, 1024)
_SECONDS = (0.0, 86_400.0)

_ALLOWED = {
    "quarantine": "the absolute path of a folder, there or to be made",
    "memory_limit_mb": f"a whole number from {_MEMORY[0]} to {_MEMORY[1]}",
    "threads": f"a whole number from {_THREADS[0]} to {_THREADS[1]}, or nothing",
    "agent_settings": 'an object by agent, as in {"mapping": {"confidence_threshold": 0.95}}',
    "progress_interval": f"a number of seconds from {_SECONDS[0]:.0f} to {_SECONDS[1]:.0f}",
}

_SHOWN = 60
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for every pipeline of this Airflow that does not say otherwise.

    .. code-block:: python

        Settings(quarantine=Path("/var/lib/airflow/quarantine"), memory_limit_mb=1024)

    :param quarantine: where rejected rows go when neither pipeline nor target names a place.
    :param memory_limit_mb: MiB that DuckDB may hold; the rest of the process comes on top.
    :param threads: that DuckDB uses; as many as there are cores when absent.
    :param progress_interval: seconds between two lines of progress in a task's log.
    :raises SpecificationError: a value is none of the allowed ones.
    """

    quarantine: Path
    memory_limit_mb: int = 256
    threads: int | None = None
    progress_interval: float = 5.0

    def __post_init__(self) -> None:
        if not self.quarantine.is_absolute() or _is_no_folder(self.quarantine):
            _refuse("quarantine", str(self.quarantine))
        if not _within(self.memory_limit_mb, _MEMORY):
            _refuse("memory_limit_mb", self.memory_limit_mb)
        if self.threads is not None and not _within(self.threads, _THREADS):
            _refuse("threads", self.threads)
        if not _within(self.progress_interval, _SECONDS):
            _refuse("progress_interval", self.progress_interval)


def read_settings() -> Settings:
    """Read Airflow's configuration: `airflow.cfg`, or `AIRFLOW__ETL__...` in the environment.

    :raises SpecificationError: a value is none of the allowed ones.
    """
    # The SDK's own, which every task has loaded; Airflow's core may be out of a task's reach.
    from airflow.sdk.configuration import conf

    home = Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()
    given: dict[str, Any] = {"quarantine": home / "quarantine"}
    for key, read in _READERS.items():
        text = (conf.get(SECTION, key, fallback=None) or "").strip()
        if text:
            try:
                given[key] = read(text)
            except (ValueError, RuntimeError):
                _refuse(key, text)
    return Settings(**given)


def agent_defaults(agent: str) -> Mapping[str, Any]:
    """Read what `[etl] agent_settings` says of an agent; rows of the metadata store override it.

    :raises SpecificationError: it is no JSON object of objects, or names an agent or a setting that
        there is not, or a value that can't be.
    """
    from airflow.sdk.configuration import conf

    from airflow_etl_provider.coordination.agent_settings import check_settings

    key = "agent_settings"
    text = (conf.get(SECTION, key, fallback=None) or "").strip()
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        _refuse(key, text)
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        _refuse(key, text)
    for name, settings in found.items():
        check_settings(name, settings)
    own: Mapping[str, Any] = found.get(agent, {})
    return own


def _folder(text: str) -> Path:
    """Read a path.

    :raises ValueError: it is a URL, which a path would be made of without a word.
    :raises RuntimeError: `~somebody`, who is nobody here.
    """
    if "://" in text:
        raise ValueError
    return Path(text).expanduser()


_READERS: dict[str, Callable[[str], object]] = {
    "quarantine": _folder,
    "memory_limit_mb": int,
    "threads": int,
    "progress_interval": float,
}


def _within(value: float, limits: tuple[float, float]) -> bool:
    return not isinstance(value, bool) and limits[0] <= value <= limits[1]


def _is_no_folder(path: Path) -> bool:
    try:
        return path.exists() and not path.is_dir()
    except OSError:
        # Whether it can be written is found out, and told, by who writes there.
        return False


def _refuse(key: str, found: object) -> NoReturn:
    shown = repr(found)
    if len(shown) > _SHOWN:
        shown = f"{shown[:_SHOWN]}..."
    raise SpecificationError(
        f"[{SECTION}] {key} of Airflow's configuration is {shown}; allowed is {_ALLOWED[key]}.",
        hint=f"Mend it in airflow.cfg or in AIRFLOW__{SECTION.upper()}__{key.upper()}.",
    )
