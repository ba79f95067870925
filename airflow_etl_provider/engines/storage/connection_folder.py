"""The folder that a connection of files names, and which locations may lead where below it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["folder_of", "keep_inside", "path_below", "refuse_absolute"]


def folder_of(connection: Connection) -> Path | None:
    """What a connection of that type names as its folder, where it does."""
    folder = connection.extra.get("path") or connection.host
    return Path(str(folder)) if folder else None


def refuse_absolute(location: str) -> None:
    """Refuse a location that does not begin in the connection's folder.

    :raises SpecificationError: it is absolute.
    """
    if Path(location).is_absolute():
        raise SpecificationError(
            f"The location {location!r} is absolute, and its connection already names a folder.",
            hint="Write it relative to the connection's folder.",
        )


def keep_inside(paths: Iterable[Path], *, folder: Path, location: str) -> None:
    """Refuse paths that lead out of a folder, also by a symbolic link on the way.

    :param location: that they come from.
    :raises SpecificationError: one does.
    """
    home = folder.resolve()
    if ".." in Path(location).parts or not all(
        path.resolve().is_relative_to(home) for path in paths
    ):
        raise SpecificationError(
            f"The location {location!r} leads out of its connection's folder.",
            hint="A connection gives its own folder and nothing above it.",
        )


def path_below(folder: Path, location: str) -> Path:
    """The path of a location, which need not be there yet.

    :raises SpecificationError: it is not below the folder.
    """
    if location.startswith("~") or "://" in location:
        raise SpecificationError(
            f"The location {location!r} names a place of its own, and its connection already names "
            "a folder.",
            hint="Write it relative to the connection's folder.",
        )
    refuse_absolute(location)
    path = folder / location
    keep_inside([path], folder=folder, location=location)
    return path.absolute()
