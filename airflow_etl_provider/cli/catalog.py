"""`airflow-etl catalog search`: find datasets by names, columns, tags and descriptions."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from airflow_etl_provider.cli.command import DONE, FAILED
from airflow_etl_provider.cli.metadata import metadata_engine

if TYPE_CHECKING:
    import argparse

    from airflow_etl_provider.cli.console import Console
    from airflow_etl_provider.metadata.queries import CatalogHit

__all__ = ["run"]


def run(args: argparse.Namespace, console: Console) -> int:
    """Search, best first; exit code 1 where nothing was found."""
    from airflow_etl_provider.metadata.queries import CatalogQuery
    from airflow_etl_provider.metadata.sql import SqlStore

    engine = metadata_engine(args)
    try:
        query = CatalogQuery(
            text=" ".join(args.words),
            tags=tuple(args.tag),
            connection=args.of,
            include_missing=args.missing,
            limit=args.limit,
        )
        page = SqlStore(engine).search(query)
    finally:
        engine.dispose()
    if console.json_wanted:
        console.result({"datasets": [_content(hit) for hit in page.items]})
    else:
        for hit in page.items:
            console.out(_line(hit))
        if page.cursor is not None:
            console.say(f"There are more than {args.limit:,}; --limit shows them.")
    if not page.items:
        console.say("Nothing was found.")
    return DONE if page.items else FAILED


def _content(hit: CatalogHit) -> dict[str, object]:
    found = dataclasses.asdict(hit.dataset)
    return found | {"score": hit.score, "matched_columns": list(hit.matched_columns)}


def _line(hit: CatalogHit) -> str:
    dataset = hit.dataset
    said = [dataset.kind, f"{len(dataset.columns)} columns"]
    if dataset.rows is not None:
        said.append(f"{dataset.rows:,} rows")
    if dataset.missing_since is not None:
        said.append(f"missing since {dataset.missing_since:%Y-%m-%d}")
    if hit.matched_columns:
        said.append(f"in {', '.join(hit.matched_columns)}")
    return f"{dataset.name}: {', '.join(said)}"
