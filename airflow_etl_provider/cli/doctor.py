"""`airflow-etl metadata doctor`: what is wrong with the set-up, and what to do about it."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import tempfile
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE, FAILED
from airflow_etl_provider.cli.connections import find_connection
from airflow_etl_provider.cli.doctor_links import api_findings, bus_findings
from airflow_etl_provider.cli.finding import Finding
from airflow_etl_provider.cli.metadata import metadata_engine, read_pipelines
from airflow_etl_provider.exceptions import ConnectionNotFoundError, EtlError
from airflow_etl_provider.hooks.metadata import CONNECTION

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from airflow_etl_provider.cli.console import Console

__all__ = ["examine"]

_SKEW = timedelta(seconds=5)
_STALE = timedelta(hours=24)
_FREE = 2**30
"""Bytes that a quarantine should have room for."""


def examine(args: argparse.Namespace, console: Console) -> int:
    """Look at everything, and fail if something is wrong that keeps people from working."""
    findings: list[Finding] = []
    for look in (_packages, _entry_points, _settings):
        findings += _safely(look)
    findings += _store(args)
    for look in (api_findings, bus_findings):
        findings += _safely(look)
    findings += _pipelines(args)
    if console.json_wanted:
        console.result([asdict(finding) for finding in findings])
    for finding in findings:
        mark = {"ok": "ok      ", "warning": "warning ", "problem": "PROBLEM "}[finding.level]
        console.say(f"{mark} {finding.about}: {finding.says}")
        if finding.advice:
            console.say(f"          -> {finding.advice}")
    return FAILED if any(finding.level == "problem" for finding in findings) else DONE


def _safely(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """An examination that fails is a finding, and the others go on."""
    try:
        return list(look())
    except EtlError as error:
        return [Finding("problem", look.__name__.strip("_"), error.message, error.hint or "")]


def _packages() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 10) <= sys.version_info[:2] <= (3, 13)
    yield Finding(
        "ok" if supported else "problem",
        "Python",
        version,
        "" if supported else "Use Python 3.10 to 3.13.",
    )
    try:
        requirements = importlib.metadata.requires("airflow-etl-provider") or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding(
            "warning",
            "package",
            "airflow-etl-provider is imported from a folder and not installed",
            "Install it, or Airflow finds neither the provider nor its plugin.",
        )
        return
    from packaging.requirements import Requirement

    wrong = False
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong = True
            yield Finding("problem", wanted.name, "is not installed", f"Install {wanted}.")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong = True
            yield Finding("problem", wanted.name, f"is {found}", f"Install {wanted}.")
    if not wrong:
        yield Finding("ok", "packages", f"all {len(requirements)} requirements hold")


def _entry_points() -> Iterator[Finding]:
    for group, name, why in (
        ("apache_airflow_provider", "provider_info", "Airflow does not know the provider"),
        ("airflow.plugins", "airflow_etl_provider", "Airflow does not load the plugin"),
    ):
        found = [e for e in importlib.metadata.entry_points(group=group) if e.name == name]
        ours = [e for e in found if e.value.startswith("airflow_etl_provider.")]
        yield (
            Finding("ok", f"entry point {group}", ours[0].value)
            if ours
            else Finding(
                "problem", f"entry point {group}", why, "Install the package with pip or uv."
            )
        )


def _settings() -> Iterator[Finding]:
    home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    place = os.environ.get("AIRFLOW__ETL__QUARANTINE") or os.path.join(  # noqa: PTH118 - may be a URL
        os.path.expanduser(home),  # noqa: PTH111 - the same
        "quarantine",
    )
    if "://" in place:
        yield Finding("ok", "quarantine", f"{place} (not looked into)")
        return
    above = place
    while not os.path.isdir(above) and os.path.dirname(above) != above:  # noqa: PTH112, PTH120
        above = os.path.dirname(above)  # noqa: PTH120
    try:
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        yield Finding(
            "problem",
            "quarantine",
            f"{place} can't be written ({error.strerror})",
            "Set [etl] quarantine to a folder that workers can write.",
        )
        return
    room = os.statvfs(above)
    free = room.f_bavail * room.f_frsize
    yield Finding(
        "ok" if free >= _FREE else "warning",
        "quarantine",
        f"{place}, {free / 2**30:.1f} GiB free",
        "" if free >= _FREE else "A full disk fails every load with rejected rows. Make room.",
    )


def _store(args: argparse.Namespace) -> Iterator[Finding]:
    try:
        engine = metadata_engine(args)
    except ConnectionNotFoundError:
        yield Finding(
            "warning",
            "metadata store",
            f"there is no connection {CONNECTION}, so runs are not recorded",
            f"Define {CONNECTION} as a PostgreSQL, and run `airflow-etl metadata migrate`.",
        )
        return
    except EtlError as error:
        yield Finding("problem", "metadata store", error.message, error.hint or "")
        return
    from airflow_etl_provider.metadata.sql.engine import place_of

    where = place_of(engine)
    try:
        yield from _tables(engine, where)
    except EtlError as error:
        yield Finding("problem", "metadata store", error.message, error.hint or "")
    finally:
        engine.dispose()


def _tables(engine: Engine, where: str) -> Iterator[Finding]:
    from airflow_etl_provider.metadata.migrate import state_of
    from airflow_etl_provider.metadata.queries import Query
    from airflow_etl_provider.metadata.records import RunRecord
    from airflow_etl_provider.metadata.sql import SqlStore

    state = state_of(engine)
    if state.condition != "current":
        yield Finding(
            "problem",
            "metadata tables",
            f"in {where} are {state.condition} (revision {state.revision or 'none'}, wanted "
            f"{state.head})",
            "Run `airflow-etl metadata migrate`, or `airflow db migrate` for Airflow's own "
            "database."
            if state.condition != "ahead"
            else "Install the newer package here too.",
        )
        return
    yield Finding("ok", "metadata tables", f"in {where}, revision {state.revision}")
    yield from _rights(engine)
    store = SqlStore(engine)
    skew = abs(store.now() - datetime.now(timezone.utc))
    yield Finding(
        "ok" if skew < _SKEW else "warning",
        "clocks",
        f"{skew.total_seconds():.1f} s between this machine and the database",
        "" if skew < _SKEW else "Set both by NTP: times of runs are the workers'.",
    )
    stale = store.find(
        Query(
            RunRecord, {"status": "running"}, until=datetime.now(timezone.utc) - _STALE, limit=1000
        )
    ).items
    yield Finding(
        "warning" if stale else "ok",
        "runs",
        f"{len(stale)} have been running for more than a day",
        "`airflow-etl metadata reconcile PIPELINES` completes or ends them." if stale else "",
    )


def _rights(engine: Engine) -> Iterator[Finding]:
    if engine.dialect.name != "postgresql":
        return
    from sqlalchemy import text

    from airflow_etl_provider.metadata.sql.engine import reading
    from airflow_etl_provider.metadata.tables import METADATA

    needed = "SELECT, INSERT, UPDATE, DELETE"
    with reading(engine) as connection:
        lacking = [
            name
            for name in METADATA.tables
            if not connection.scalar(
                text(
                    "SELECT bool_and(has_table_privilege(:name, p)) "
                    "FROM unnest(string_to_array(:needed, ', ')) AS p"
                ),
                {"name": name, "needed": needed},
            )
        ]
        superuser = connection.scalar(
            text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
        )
        others = connection.scalar(
            text(
                "SELECT count(*) FROM information_schema.tables WHERE table_type = 'BASE TABLE' "
                "AND table_schema NOT IN ('pg_catalog', 'information_schema') "
                "AND table_name NOT LIKE 'etl\\_%' "
                "AND has_table_privilege(quote_ident(table_schema) || '.' || "
                "quote_ident(table_name), 'SELECT')"
            )
        )
    if lacking:
        yield Finding(
            "problem",
            "rights",
            f"this role may not use {', '.join(lacking)}",
            f"GRANT {needed} ON these tables, and USAGE on the sequences, to the role.",
        )
    elif superuser or others:
        yield Finding(
            "warning",
            "rights",
            "this role is a superuser"
            if superuser
            else f"this role also reads {others} tables that are not etl_*",
            "Tasks log in with it: a role that has the tables etl_* and nothing else is safer "
            "(docs/metadata.md).",
        )
    else:
        yield Finding("ok", "rights", "this role has the tables etl_* and nothing else")


def _pipelines(args: argparse.Namespace) -> Iterator[Finding]:
    try:
        found = list(read_pipelines(args.pipelines))
    except EtlError as error:
        yield Finding("problem", "pipelines", error.message, error.hint or "")
        return
    names: dict[str, list[str]] = {}
    for file, pipeline in found:
        read = (pipeline.source, *pipeline.inputs.values())
        for name in {pipeline.target.connection, *(spec.connection for spec in read)}:
            if name is not None:
                names.setdefault(name, []).append(file.name)
    for name, files in sorted(names.items()):
        try:
            find_connection(name)
        except EtlError as error:
            yield Finding(
                "problem",
                f"connection {name}",
                f"{error.message} ({', '.join(files)})",
                error.hint or "",
            )
        else:
            yield Finding("ok", f"connection {name}", f"is defined ({', '.join(files)})")
