"""`airflow-etl discover`: what is there, and what is in it."""

from __future__ import annotations

from contextlib import ExitStack, closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE, FAILED
from airflow_etl_provider.cli.connections import find_connection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from airflow_etl_provider.agents.discovery.drift.changes import DataChange
    from airflow_etl_provider.cli.console import Console
    from airflow_etl_provider.contracts.profile import DatasetProfile, FieldProfile, NotRead
    from airflow_etl_provider.metadata.store import MetadataStore

__all__ = ["run"]


def run(args: argparse.Namespace, console: Console) -> int:
    """Profile each dataset; one that can't be read is told, and the others go on."""
    from airflow_etl_provider.agents.discovery.relations import find_relations
    from airflow_etl_provider.agents.discovery.remember import remember_relations
    from airflow_etl_provider.contracts.profile import DatasetProfile, NotRead

    at = datetime.now(timezone.utc)
    found: list[DatasetProfile | NotRead] = []
    with ExitStack() as stack:
        store = stack.enter_context(closing(_open(args.record))) if args.record else None
        _look(args, console, found, store, at)
        relations = find_relations([one for one in found if isinstance(one, DatasetProfile)])
        if store is not None:
            remember_relations(store, relations, at=at)
    if console.json_wanted:
        console.result(
            {
                "datasets": [dataset.to_dict() for dataset in found],
                "relations": [relation.to_dict() for relation in relations],
            }
        )
    else:
        for relation in relations:
            console.out(
                f"{relation.dataset} ({', '.join(relation.columns)}) refers to {relation.other} "
                f"({', '.join(relation.key)}): {relation.share:.0%} of its values; "
                f"{relation.confidence:.2f}"
            )
    broken = [one for one in found if isinstance(one, NotRead)]
    if console.json_wanted:
        for one in broken:
            console.say(f"airflow-etl: {one.location}: {one.reason} [{one.code}]")
    return FAILED if broken or not found else DONE


def _open(connection: str) -> MetadataStore:
    from airflow_etl_provider.hooks.metadata import open_store_at

    return open_store_at(find_connection(connection))


def _look(
    args: argparse.Namespace,
    console: Console,
    found: list[DatasetProfile | NotRead],
    store: MetadataStore | None,
    at: datetime,
) -> None:
    from airflow_etl_provider.agents.discovery.remember import remember
    from airflow_etl_provider.agents.discovery.scan import discover

    for place in args.places:
        for dataset in discover(
            place,
            connections=find_connection,
            base=Path.cwd(),
            connection=args.connection,
            tables=args.table,
            include=args.include,
            exclude=args.exclude,
            sample=args.sample,
            exact=args.exact,
        ):
            found.append(dataset)
            changes = remember(store, dataset, at=at).changes if store is not None else ()
            if not console.json_wanted:
                _show(dataset, changes, console)


def _show(
    dataset: DatasetProfile | NotRead, changes: Sequence[DataChange], console: Console
) -> None:
    from airflow_etl_provider.contracts.profile import DatasetProfile

    if not isinstance(dataset, DatasetProfile):
        console.out(f"{dataset.name}: not read: {dataset.reason} [{dataset.code}]\n")
        return
    rejected = f", {dataset.rejected:,} broken" if dataset.rejected else ""
    files = f" in {dataset.inputs:,} files" if dataset.inputs > 1 else ""
    about = "" if dataset.counted else "about "
    rows = f"{about}{dataset.rows:,} rows"
    console.out(f"{dataset.name}: {dataset.format}, {rows}{rejected}{files}")
    if dataset.dialect is not None:
        written = dataset.dialect
        console.out(
            f"  {written['encoding']}, delimiter {written['delimiter']!r}, quote "
            f"{written['quote']!r}, {written['header_rows']} header row(s)"
        )
    for key in dataset.keys:
        console.out(f"  key: {', '.join(key)}")
    width = max((len(field.name) for field in dataset.fields), default=0)
    for field in dataset.fields:
        console.out(f"  {field.name:<{min(width, 40)}}  {_line(field)}")
    if dataset.margin:
        console.out(
            f"  values of {dataset.looked_at:,} rows were looked at; shares are within "
            f"{dataset.margin:.1%}"
        )
    for left, right in dataset.dependencies:
        console.out(f"  {left} determines {', '.join(right)}")
    for change in changes:
        console.out(f"  changed ({change.severity}, {change.effect}): {change.message}")
    for note in dataset.notes:
        console.out(f"  note: {note}")
    console.out("")


def _line(field: FieldProfile) -> str:
    said = [str(field.type)]
    if field.format:
        said.append(f"written {field.format}")
    if field.unit:
        said.append(f"in {field.unit}")
    if field.semantic_type:
        said.append(f"{field.semantic_type} ({field.confidence:.2f})")
    if field.personal:
        said.append("PERSONAL")
    if field.nullable:
        said.append(f"{field.null_share:.1%} null")
    said.append(f"{field.distinct:,} distinct")
    if field.minimum is not None:
        said.append(f"{field.minimum} to {field.maximum}")
    return "; ".join(said + list(field.notes))
