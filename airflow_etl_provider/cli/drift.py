"""`airflow-etl drift`: what changed from one dataset to another."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE, FAILED
from airflow_etl_provider.cli.connections import find_connection
from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from airflow_etl_provider.agents.discovery.drift.changes import DataChange
    from airflow_etl_provider.cli.console import Console
    from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead

__all__ = ["run"]


def run(args: argparse.Namespace, console: Console) -> int:
    """Look at both sides, pair their datasets, and tell the changes of each pair."""
    from airflow_etl_provider.agents.discovery.drift.compare import compare_profiles

    if (args.now is None) == (args.catalog is None):
        raise SpecificationError(
            "There is nothing to compare with: give B, or --catalog, and not both."
        )
    if args.catalog is not None:
        broken, now = _split(_look(args.was, args), args.was)
        was = _remembered(args.catalog, list(now.values()))
    else:
        broken, was = _split(_look(args.was, args), args.was)
        also_broken, now = _split(_look(args.now, args), args.now)
        broken += also_broken
    pairs, removed, added = _paired(was, now)
    compared = [(a, b, compare_profiles(a, b)) for a, b in pairs]
    if console.json_wanted:
        console.result(
            {
                "datasets": [
                    {"was": a.name, "now": b.name, "changes": [one.to_dict() for one in changes]}
                    for a, b, changes in compared
                ],
                "removed": removed,
                "added": added,
                "not_read": [one.to_dict() for one in broken],
            }
        )
    else:
        _show(console, compared, removed, added)
    for one in broken:
        console.say(f"airflow-etl: {one.location}: {one.reason} [{one.code}]")
    changes = [change for _, _, some in compared for change in some]
    news = {
        "breaking": bool(removed) or any(one.effect == "breaking" for one in changes),
        "any": bool(removed or added or changes),
        "never": False,
    }
    return FAILED if broken or news[args.fail_on] else DONE


def _look(place: str, args: argparse.Namespace) -> Sequence[DatasetProfile | NotRead]:
    """Profile what is at a place, or read what `discover --json` wrote of it."""
    from airflow_etl_provider.agents.discovery.scan import discover
    from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead

    path = Path(place)
    if path.suffix == ".json" and path.is_file():
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            content = None
        if isinstance(content, dict) and isinstance(content.get("datasets"), list):
            return [
                NotRead(one["name"], one["location"], **_problem(one["problem"]))
                if "problem" in one
                else DatasetProfile.from_dict(one)
                for one in content["datasets"]
            ]
    return list(
        discover(
            place,
            connections=find_connection,
            base=Path.cwd(),
            sample=args.sample,
            exact=args.exact,
        )
    )


def _problem(problem: dict[str, str]) -> dict[str, str]:
    return {"code": problem["code"], "reason": problem["message"]}


def _split(
    found: Sequence[DatasetProfile | NotRead], place: str
) -> tuple[list[NotRead], dict[str, DatasetProfile]]:
    """Put aside what can't be read; name the rest as it is called within its place."""
    from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead

    broken = [one for one in found if isinstance(one, NotRead)]
    root = place.rstrip("/") + "/"
    return broken, {
        one.location.removeprefix(root): one for one in found if isinstance(one, DatasetProfile)
    }


def _remembered(connection: str, now: Sequence[DatasetProfile]) -> dict[str, DatasetProfile]:
    """Read the last profiles of the same datasets from the catalog."""
    from airflow_etl_provider.agents.discovery.records import last_profiles, profile_from_record
    from airflow_etl_provider.hooks.metadata import open_store_at
    from airflow_etl_provider.metadata.records import stable_id

    found = {}
    with closing(open_store_at(find_connection(connection))) as store:
        for one in now:
            for record in last_profiles(store, stable_id("dataset", one.name)):
                found[one.location] = profile_from_record(
                    record, name=one.name, location=one.location
                )
    return found


def _paired(
    was: dict[str, DatasetProfile], now: dict[str, DatasetProfile]
) -> tuple[list[tuple[DatasetProfile, DatasetProfile]], list[str], list[str]]:
    """Pair datasets by name; a single one is compared with a single one, whatever their names."""
    if len(was) == len(now) == 1:
        return [(next(iter(was.values())), next(iter(now.values())))], [], []
    return (
        [(was[key], now[key]) for key in was if key in now],
        [one.name for key, one in was.items() if key not in now],
        [one.name for key, one in now.items() if key not in was],
    )


def _show(
    console: Console,
    compared: Sequence[tuple[DatasetProfile, DatasetProfile, Sequence[DataChange]]],
    removed: Sequence[str],
    added: Sequence[str],
) -> None:
    for was, now, changes in compared:
        console.out(f"{now.name}: {_counted(changes)} against {was.name}")
        for change in changes:
            console.out(
                f"  {change.severity:<8} {change.effect:<10} {change.kind}: {change.message}"
            )
    for name in removed:
        console.out(f"{name}: is gone")
    for name in added:
        console.out(f"{name}: is new")


def _counted(changes: Sequence[DataChange]) -> str:
    return "no change" if not changes else f"{len(changes)} change(s)"
