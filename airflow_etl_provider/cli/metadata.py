"""`airflow-etl metadata`: the tables of runs and decisions, for those who operate them."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE, FAILED
from airflow_etl_provider.cli.connections import find_connection
from airflow_etl_provider.exceptions import EtlError, SpecificationError
from airflow_etl_provider.hooks.metadata import CONNECTION

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from airflow_etl_provider.cli.console import Console
    from airflow_etl_provider.contracts.pipeline import Pipeline
    from airflow_etl_provider.metadata.reconcile import Reconciled
    from airflow_etl_provider.metadata.retention import Cleaned
    from airflow_etl_provider.metadata.sql import SqlStore

__all__ = ["metadata_engine", "read_pipelines", "run"]


def run(args: argparse.Namespace, console: Console) -> int:
    """Do what was asked for."""
    if args.action == "doctor":
        from airflow_etl_provider.cli.doctor import examine

        return examine(args, console)
    engine = metadata_engine(args)
    try:
        if args.action == "migrate":
            return _migrate(engine, args, console)
        if args.action == "clean":
            return _clean(engine, args, console)
        return _reconcile(engine, args, console)
    finally:
        engine.dispose()


def metadata_engine(args: argparse.Namespace) -> Engine:
    """Open the database that was named: by URL, or by a connection.

    :raises SpecificationError: neither is one.
    """
    from airflow_etl_provider.metadata.sql.engine import engine_for
    from airflow_etl_provider.metadata.sql.location import url_of

    if args.url:
        return engine_for(args.url)
    return engine_for(url_of(find_connection(args.connection or CONNECTION)))


def _migrate(engine: Engine, args: argparse.Namespace, console: Console) -> int:
    from airflow_etl_provider.metadata.migrate import migrate, migration_sql, state_of
    from airflow_etl_provider.metadata.sql.engine import place_of

    if args.sql:
        console.out(migration_sql(engine, to=args.to))
        return DONE
    before = state_of(engine)
    after = before if args.dry_run else migrate(engine, to=args.to)
    if console.json_wanted:
        console.result({"before": asdict(before), "after": asdict(after)})
        return DONE
    where = place_of(engine)
    if args.dry_run:
        console.say(
            f"The tables in {where} are {before.condition}: revision "
            f"{before.revision or 'none'}, wanted {before.head}. Nothing was changed."
        )
    elif before.revision == after.revision:
        console.say(f"The tables in {where} are current: revision {after.revision}.")
    else:
        console.say(
            f"Migrated the tables in {where} from {before.revision or 'none'} to {after.revision}."
        )
    return DONE


def _clean(engine: Engine, args: argparse.Namespace, console: Console) -> int:
    from airflow_etl_provider.metadata.migrate import state_of
    from airflow_etl_provider.metadata.retention import clean, read_days
    from airflow_etl_provider.metadata.sql.engine import place_of

    days = read_days(args.days or os.environ.get("AIRFLOW__ETL__RETENTION_DAYS", ""))
    if args.tables:
        wanted = {name.strip() for name in args.tables.split(",")}
        if unknown := wanted - set(days):
            raise SpecificationError(
                f"There is nothing to clean in {', '.join(sorted(unknown))}.",
                hint=f"Known: {', '.join(days)}.",
            )
        days = {name: number for name, number in days.items() if name in wanted}
    state_of(engine).require_current(place_of(engine))
    if not args.dry_run and not args.yes and not _confirmed(console, days):
        console.say("Nothing was taken away.")
        return FAILED

    def tell(cleaned: Cleaned) -> None:
        if cleaned.records or args.dry_run:
            verb = "would go" if args.dry_run else "went"
            console.say(
                f"{cleaned.table}: {cleaned.records:,} records from before "
                f"{cleaned.before:%Y-%m-%d %H:%M} {verb}"
            )

    done = clean(
        engine,
        now=datetime.now(timezone.utc),
        days=days,
        batch_size=args.batch_size,
        dry_run=args.dry_run,
        told=tell,
    )
    if console.json_wanted:
        console.result([asdict(cleaned) for cleaned in done])
    return DONE


def _confirmed(console: Console, days: dict[str, int]) -> bool:
    if not sys.stdin.isatty():
        raise SpecificationError(
            "Records are taken away only when somebody says so.",
            hint="Add --yes, or look first with --dry-run.",
        )
    ages = ", ".join(f"{name} {number}" for name, number in days.items() if number)
    console.say(f"Records older than these days are taken away: {ages}.")
    console.say("Write `yes` to go on:")
    return sys.stdin.readline().strip().lower() == "yes"


def _reconcile(engine: Engine, args: argparse.Namespace, console: Console) -> int:
    from airflow_etl_provider.metadata.migrate import state_of
    from airflow_etl_provider.metadata.reconcile import Reconciled, abandon_stale_runs
    from airflow_etl_provider.metadata.sql import SqlStore
    from airflow_etl_provider.metadata.sql.engine import place_of

    state_of(engine).require_current(place_of(engine))
    total = Reconciled()
    failed: dict[str, str] = {}
    swept: list[str] = []
    with closing(SqlStore(engine)) as store:
        for file, pipeline in read_pipelines(args.pipelines):
            try:
                done, removed = _reconcile_one(store, pipeline, file.parent, sweep=args.sweep)
            except EtlError as error:
                # The others are reconciled all the same.
                failed[str(file)] = str(error)
                console.say(f"{file}: {error} [{error.code}]")
                continue
            total, swept = total + done, swept + removed
            console.say(
                f"{file}: {done.loads} loads and {done.runs} runs written, {done.undone} loads "
                f"found gone{f', {len(removed)} quarantines swept' if args.sweep else ''}"
            )
        total += abandon_stale_runs(
            store, now=datetime.now(timezone.utc), after=timedelta(hours=args.stale_hours)
        )
    console.say(f"{total.abandoned} runs of more than {args.stale_hours:g} hours were abandoned")
    if console.json_wanted:
        console.result(asdict(total) | {"swept": swept, "failed": failed})
    return FAILED if failed else DONE


def _reconcile_one(
    store: SqlStore, pipeline: Pipeline, base: Path, *, sweep: bool
) -> tuple[Reconciled, list[str]]:
    from airflow_etl_provider.engines.batch import EngineOptions
    from airflow_etl_provider.engines.undo import list_loads
    from airflow_etl_provider.engines.upkeep import sweep_quarantine
    from airflow_etl_provider.metadata.reconcile import note_swept, reconcile_loads

    given = os.environ.get("AIRFLOW__ETL__QUARANTINE")
    options = EngineOptions(quarantine_home=Path(given).expanduser()) if given else EngineOptions()
    entries = list_loads(pipeline, connections=find_connection, base=base)
    done = reconcile_loads(store, pipeline.pipeline, entries, now=datetime.now(timezone.utc))
    removed = (
        sweep_quarantine(pipeline, connections=find_connection, base=base, options=options)
        if sweep
        else []
    )
    note_swept(store, removed, at=datetime.now(timezone.utc))
    return done, removed


def read_pipelines(places: list[Path]) -> Iterator[tuple[Path, Pipeline]]:
    """Read pipeline files; of a folder all YAML files below it that begin as pipelines do.

    :raises SpecificationError: a file is no pipeline, or a place is not there.
    """
    from airflow_etl_provider.contracts.files import read_pipeline
    from airflow_etl_provider.hooks.connections import refuse_secrets

    for place in places:
        if not place.exists():
            raise SpecificationError(f"There is no file or folder {place}.")
        files = (
            [found for found in sorted(place.rglob("*.y*ml")) if _is_pipeline(found)]
            if place.is_dir()
            else [place]
        )
        for file in files:
            pipeline = read_pipeline(file)
            refuse_secrets(pipeline)
            yield file, pipeline


def _is_pipeline(file: Path) -> bool:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    return any(line.startswith("pipeline:") for line in lines)
