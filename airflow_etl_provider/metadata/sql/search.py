"""Search in the catalog: full text on PostgreSQL, the same words by LIKE elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, and_, cast, func, literal, select, text, true, tuple_
from sqlalchemy.dialects.postgresql import TSQUERY

from airflow_etl_provider.metadata.queries import CatalogHit, Page
from airflow_etl_provider.metadata.records import DatasetRecord
from airflow_etl_provider.metadata.records.encoding import record_from_row
from airflow_etl_provider.metadata.tables.catalog import DATASET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Column, ColumnElement, Connection

    from airflow_etl_provider.metadata.queries import CatalogQuery

__all__ = ["search_catalog", "search_columns", "words_of"]

_TAG = "xtag"
"""Begins the word of a tag, so that a search for tags alone meets no other word."""

_WORDS = 20_000
"""Words of one dataset that can be found; a full-text index holds no more than a megabyte."""

_LONGEST = 200
"""Characters of a word that count; an index entry has a limit too."""

_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_SPLIT = re.compile(r"[\W_]+")

SCORE_NAME, SCORE_REST = 1.0, 0.5
"""Of a dataset whose name and tags hold all words, and of one where columns or description do."""


def words_of(value: str) -> list[str]:
    """Split text at case, digits' borders excepted, and at everything that is no letter or digit.

    `shop/ORDERS_2026.customerId` gives `shop orders 2026 customer id`, and `customerid` too, so
    that both ways of writing find it.
    """
    found: list[str] = []
    for part in _SPLIT.split(value):
        if not part:
            continue
        pieces = _CAMEL.split(part)
        found += (piece.lower()[:_LONGEST] for piece in pieces)
        if len(pieces) > 1:
            found.append(part.lower()[:_LONGEST])
    return found


def search_columns(dataset: DatasetRecord) -> dict[str, str]:
    """Give the words of a dataset: of its name and tags, and of all that is searched."""
    tags = {*dataset.tags, *(tag for column in dataset.columns for tag in column.get("tags") or ())}
    named = _unique(
        [
            *words_of(dataset.name),
            *(word for tag in dataset.tags for word in words_of(tag)),
        ]
    )
    everything = _unique(
        [
            *named,
            *(_tag_word(tag) for tag in sorted(tags)),
            *(word for tag in sorted(tags) for word in words_of(tag)),
            *words_of(dataset.description or ""),
            *(word for column in dataset.columns for word in words_of(str(column.get("name", "")))),
            *(
                word
                for column in dataset.columns
                for word in words_of(str(column.get("description") or ""))
            ),
            *words_of(dataset.owner or ""),
        ]
    )
    return {
        "search_name": " ".join(named[:_WORDS]),
        "search_document": " ".join(everything[:_WORDS]),
    }


def search_catalog(connection: Connection, query: CatalogQuery) -> Page[CatalogHit]:
    """Find datasets: those that are named so first, by name; then the others, by name."""
    from airflow_etl_provider.metadata.sql.listing import check_limit, read_cursor, write_cursor

    limit = check_limit(query.limit)
    words, dialect = _unique(words_of(query.text)), connection.dialect.name
    if query.text.strip() and not words:
        return Page(())
    conditions = _conditions(query, words, dialect)
    tier, name = 0, ""
    if query.after is not None:
        tier, name, _ = read_cursor(query.after, "catalog", 3)
    hits: list[tuple[int, DatasetRecord]] = []
    tiers = (0, 1) if words else (0,)
    for current in tiers:
        if current < tier or len(hits) > limit:
            continue
        held = _in_tier(current, words, dialect)
        statement = (
            select(DATASET)
            .where(*conditions, held)
            .order_by(DATASET.c.name, DATASET.c.id)
            .limit(limit + 1 - len(hits))
        )
        if current == tier and query.after is not None:
            _, name, key = read_cursor(query.after, "catalog", 3)
            statement = statement.where(
                tuple_(DATASET.c.name, DATASET.c.id)
                > tuple_(literal(name, String()), literal(key, String()))
            )
        hits += (
            (current, record_from_row(DatasetRecord, row))
            for row in connection.execute(statement).mappings()
        )
    page = tuple(
        CatalogHit(
            dataset=dataset,
            score=SCORE_NAME if current == 0 else SCORE_REST,
            matched_columns=_matched(dataset, words),
        )
        for current, dataset in hits[:limit]
    )
    if len(hits) <= limit:
        return Page(page)
    current, last = hits[limit - 1]
    return Page(page, write_cursor("catalog", [current, last.name, last.id]))


def _conditions(
    query: CatalogQuery, words: Sequence[str], dialect: str
) -> list[ColumnElement[bool]]:
    """Say what a dataset must have, by name or not."""
    conditions: list[ColumnElement[bool]] = []
    if query.kind is not None:
        conditions.append(DATASET.c.kind == query.kind)
    if query.connection is not None:
        conditions.append(DATASET.c.connection == query.connection)
    if not query.include_missing:
        conditions.append(DATASET.c.missing_since.is_(None))
    tags = [_tag_word(tag) for tag in query.tags]
    if words or tags:
        conditions.append(_match(dialect, DATASET.c.search_document, words, exactly=tags))
    return conditions


def _in_tier(tier: int, words: Sequence[str], dialect: str) -> ColumnElement[bool]:
    """Tell those that are named so (0) from the others (1)."""
    named = _match(dialect, DATASET.c.search_name, words, exactly=()) if words else true()
    if tier == 0 and words and dialect == "postgresql":
        # Few are named so: found by their index first, and then put in order. Left to itself,
        # the planner reads all in order, and looks at each.
        found = select(DATASET.c.id).where(named).cte("named").prefix_with("MATERIALIZED")
        return DATASET.c.id.in_(select(found.c.id))
    return named if tier == 0 else ~named


def _match(
    dialect: str, column: Column[Any], words: Sequence[str], *, exactly: Sequence[str]
) -> ColumnElement[bool]:
    """All words, each at the beginning of one of the column's; of `exactly`, the whole ones."""
    if dialect == "postgresql":
        # Words hold letters and digits only, so that quoting them is enough.
        wanted = " & ".join(
            [*(f"'{word}':*" for word in words), *(f"'{word}'" for word in exactly)]
        )
        vector = func.array_to_tsvector(func.string_to_array(column, text("' '")))
        return vector.bool_op("@@")(cast(literal(wanted, String()), TSQUERY))
    around = literal(" ", String()) + column + literal(" ", String())
    return and_(
        *(around.contains(f" {word}", autoescape=True) for word in words),
        *(around.contains(f" {word} ", autoescape=True) for word in exactly),
    )


def _matched(dataset: DatasetRecord, words: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        str(column["name"])
        for column in dataset.columns
        if any(
            own.startswith(word) for own in words_of(str(column.get("name", ""))) for word in words
        )
    )


def _tag_word(tag: str) -> str:
    return _TAG + "".join(words_of(tag))[:_LONGEST]


def _unique(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))
