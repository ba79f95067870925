"""`airflow-etl quarantine`: the rejected rows, for those who mend them."""

from __future__ import annotations

import os
from base64 import b64encode
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.cli.command import DONE
from airflow_etl_provider.exceptions import QuarantineError

if TYPE_CHECKING:
    import argparse

    from airflow_etl_provider.cli.console import Console
    from airflow_etl_provider.contracts.connection import Connection
    from airflow_etl_provider.contracts.reject import Reason, Reject
    from airflow_etl_provider.engines.quarantine import Manifest

__all__ = ["describe_reason", "run", "text_of"]

RAW_SHOWN = 200
"""Characters of a record that a terminal shows; JSON has all of them."""


def run(args: argparse.Namespace, console: Console) -> int:
    """List or show; what was asked for goes to stdout, also without --json."""
    return _list(args, console) if args.action == "list" else _show(args, console)


def _list(args: argparse.Namespace, console: Console) -> int:
    from airflow_etl_provider.engines.quarantine import list_quarantines
    from airflow_etl_provider.engines.storage import is_remote

    if is_remote(args.location):
        return _print(list_quarantines(args.location, connection=_keeper(args)), console)
    if not os.access(args.location, os.R_OK | os.X_OK) or not Path(args.location).is_dir():
        raise QuarantineError(
            f"There is no folder {args.location} that can be read.",
            hint="Name a quarantine, or a folder above one.",
        )
    # Targets keep theirs beside them: NAME.quarantine.
    homes = [args.location, *sorted(Path(args.location).glob("*.quarantine"))]
    return _print([found for home in homes for found in list_quarantines(home)], console)


def _keeper(args: argparse.Namespace) -> Connection | None:
    """The connection that was named; without one the environment logs in."""
    from airflow_etl_provider.cli.connections import find_connection

    return find_connection(args.connection) if args.connection else None


def _print(found: list[Manifest], console: Console) -> int:
    if console.json_wanted:
        console.result([asdict(manifest) for manifest in found])
        return DONE
    for manifest in found:
        codes = ", ".join(f"{code} {count:,}" for code, count in _ranked(manifest.codes))
        console.out(
            f"{manifest.location}\n  {manifest.sealed_at}  {manifest.pipeline}  "
            f"{manifest.rows:,} rows, {manifest.status}: {codes}"
        )
    console.say(f"{len(found)} quarantined load{'' if len(found) == 1 else 's'}")
    return DONE


def _show(args: argparse.Namespace, console: Console) -> int:
    from airflow_etl_provider.engines.quarantine import read_quarantine

    rejects = read_quarantine(args.location, limit=args.limit, connection=_keeper(args))
    if console.json_wanted:
        console.result([_as_json(reject) for reject in rejects])
        return DONE
    shown = 0
    for reject in rejects:
        shown += 1
        line = "" if reject.line is None else f", line {reject.line}"
        console.out(f"{reject.input}, record {reject.record}{line}")
        for reason in reject.reasons:
            console.out(f"  {describe_reason(reason)}")
        raw = text_of(reject.raw).rstrip("\r\n")
        more = f" ... ({len(raw):,} characters)" if len(raw) > RAW_SHOWN else ""
        console.out("  > " + _printable(raw[:RAW_SHOWN]) + more)
    if shown == args.limit:
        console.say(f"The first {shown:,}; --limit N shows more, --json all that is known of each.")
    return DONE


def describe_reason(reason: Reason) -> str:
    """One line: code, column, step, and what was wrong."""
    where = f" {reason.column}" if reason.column else ""
    step = f" ({reason.step})" if reason.step else ""
    return f"{reason.code}{where}{step}" + (f": {reason.message}" if reason.message else "")


def _as_json(reject: Reject) -> dict[str, Any]:
    values = asdict(reject)
    try:
        values["raw"] = reject.raw.decode()
    except UnicodeDecodeError:
        # The bytes matter to whoever mends them, so they are given as they are.
        del values["raw"]
        values["raw_base64"] = b64encode(reject.raw).decode()
    return values


def _ranked(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def text_of(raw: bytes) -> str:
    """Make bytes readable for a person; which encoding the file had is not kept with them."""
    if b"\0" in raw:
        # Two bytes a character, where the zero is the higher byte of western letters.
        order = "utf-16-be" if raw[:1] == b"\0" else "utf-16-le"
        return raw.decode(order, "backslashreplace")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "backslashreplace")


def _printable(text: str) -> str:
    """Escape what would move the cursor or ring the bell."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
