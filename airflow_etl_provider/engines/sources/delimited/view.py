"""The view through which DuckDB reads a delimited file, with every question answered for it."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection

    from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

__all__ = ["csv_view", "drop_view", "reject_query"]

_NAME, _PATH = "etl_any_view_8c25e9a1", "etl any file 8c25e9a1"
"""Stand for what differs from file to file."""

MAX_LINE = 2 * 2**20
"""DuckDB holds many lines of this size at once; a longer one sends the file to the splitter."""


def csv_view(
    name: str,
    paths: Sequence[str],
    dialect: ResolvedDialect,
    *,
    fields: tuple[str, ...],
    compression: str,
    read_all: bool,
) -> str:
    """Write the statement that creates the view.

    :param paths: files that are written alike, read one behind the other.
    :param compression: none, gzip or zstd, the three that DuckDB unpacks itself.
    :param fields: the columns of the view, which may stand in another order in the file.
    :param read_all: the file has invalid bytes, which DuckDB notices only in columns that it reads,
        so that it must read all of them for every query to see the same rows.
    """
    written = _template(dialect, fields, compression, read_all=read_all)
    files = exp.Array(expressions=[exp.Literal.string(path) for path in paths])
    return written.replace(f"'{_PATH}'", files.sql("duckdb")).replace(_NAME, name)


@lru_cache(maxsize=32)
def _template(
    dialect: ResolvedDialect, fields: tuple[str, ...], compression: str, *, read_all: bool
) -> str:
    """The statement for any file that is written so; to render it takes longer than to run it."""
    places = {column: f"c{at}" for at, column in enumerate(dialect.columns)}
    read = _read_csv(_NAME, _PATH, dialect, compression=compression)
    query = exp.select(
        *(exp.alias_(exp.column(places[field]), field, quoted=True) for field in fields)
    ).from_(read)
    if read_all:
        # Never false; it keeps the optimizer from leaving columns out.
        touched = exp.func("concat", *(exp.column(place) for place in places.values()))
        query = query.where(exp.func("strlen", touched, dialect="duckdb") >= 0)
    create = exp.Create(this=exp.to_table(_NAME), kind="VIEW", replace=True, expression=query)
    return create.sql(dialect="duckdb")


def reject_query(connection: DuckDBPyConnection, name: str) -> DuckDBPyConnection | None:
    """Start to read the rejects of the last reading: line, byte position, kinds, in file order."""
    import duckdb

    try:
        # The name is made by `new_view_name` and needs no quotes.
        any_ = connection.execute(f"SELECT 1 FROM {_rejects(name)} LIMIT 1").fetchone()  # noqa: S608
    except duckdb.CatalogException:
        return None
    if any_ is None:
        return None
    rejects, scans = exp.to_table(_rejects(name)), exp.to_table(_scans(name))
    last = exp.select(exp.Max(this=exp.column("scan_id"))).from_(scans).subquery()
    query = (
        exp.select(
            exp.column("line"),
            exp.Min(this=exp.column("line_byte_position")),
            exp.func("list", exp.cast(exp.column("error_type"), "TEXT"), dialect="duckdb"),
        )
        .from_(rejects)
        .where(exp.column("scan_id").eq(last))
        .group_by("line")
        .order_by("line")
    )
    return connection.execute(query.sql(dialect="duckdb"))


def drop_view(connection: DuckDBPyConnection, name: str) -> None:
    """Remove what a scan made; a connection that is closed has nothing left."""
    import duckdb

    try:
        # The names are made by `new_view_name` and need no quotes.
        connection.execute(f"DROP VIEW IF EXISTS {name}")
        connection.execute(f"DROP TABLE IF EXISTS {_rejects(name)}")
        connection.execute(f"DROP TABLE IF EXISTS {_scans(name)}")
    except duckdb.ConnectionException:
        return


def _read_csv(
    name: str, path: str, dialect: ResolvedDialect, *, compression: str
) -> exp.Expression:
    import duckdb

    text = exp.Literal.string
    columns = exp.Struct(
        expressions=[
            exp.PropertyEQ(this=text(f"c{at}"), expression=text("VARCHAR"))
            for at in range(len(dialect.columns))
        ]
    )
    # No unquoted field holds a line feed, so that stands for "nothing is NULL".
    nulls = exp.Array(expressions=[text(word) for word in dialect.null_values or ("\n",)])
    skip = dialect.skip_rows + dialect.header_rows
    options: dict[str, exp.Expression] = {
        "auto_detect": exp.false(),
        "header": exp.false(),
        "skip": exp.Literal.number(skip),
        "columns": columns,
        "delim": text(dialect.delimiter),
        "quote": text(dialect.quote),
        "escape": text(dialect.quote),
        "nullstr": nulls,
        "allow_quoted_nulls": exp.false(),
        "null_padding": exp.false(),
        "strict_mode": exp.true(),
        "encoding": text("utf-8"),
        "compression": text(compression),
        "max_line_size": exp.Literal.number(MAX_LINE),
        "store_rejects": exp.true(),
        "rejects_table": text(_rejects(name)),
        "rejects_scan": text(_scans(name)),
        "rejects_limit": exp.Literal.number(0),
    }
    if int(duckdb.__version__.partition(".")[0]) >= 2:
        # DuckDB 1.5, which serves Python 3.10, keeps the lines whole; we need their places only.
        options["rejects_line_size_limit"] = exp.Literal.number(1)
    return exp.Anonymous(
        this="read_csv",
        expressions=[
            text(path),
            *(exp.EQ(this=exp.Var(this=key), expression=to) for key, to in options.items()),
        ],
    )


def _rejects(name: str) -> str:
    return f"{name}_rejects"


def _scans(name: str) -> str:
    return f"{name}_scans"
