"""How large a table of PostgreSQL is, and a part of it that is enough to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sqlglot import exp

if TYPE_CHECKING:
    from airflow_etl_provider.engines.targets.postgres.client import PostgresClient

__all__ = ["Sample", "Size", "choose_sample", "read_size"]

_PAGE = 8192
_ROWS_OF_A_PAGE = 60
"""Where nothing was analyzed yet; tables of few narrow columns have more."""

_WORTH_IT = 5
"""Times the wanted rows: reading a table that is not larger costs less than it is worth."""

_SPARE = 1.3
"""How many times the wanted rows are asked for: chance gives fewer now and then."""

_SCANNED = 20_000
"""Pages, up to which the server reads them all and draws rows: 160 MB."""

_FEWEST_PAGES = 2_000
"""That are drawn of a larger table. Rows of one page were often written together, so that they are
alike: many rows of few pages would tell little."""

# Of a table with partitions the parts count; views and foreign tables have no pages of ours.
_SIZE = """
SELECT coalesce(sum(pg_relation_size(c.oid)), 0)::int8,
       coalesce(sum(greatest(c.reltuples, 0)), 0)::float8,
       coalesce(sum(greatest(c.relpages, 0)), 0)::int8
FROM pg_catalog.pg_class t
JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
CROSS JOIN LATERAL (
  SELECT t.oid AS relid WHERE t.relkind <> 'p'
  UNION ALL SELECT p.relid FROM pg_partition_tree(t.oid) p WHERE t.relkind = 'p' AND p.isleaf
) AS part
JOIN pg_catalog.pg_class c ON c.oid = part.relid
WHERE n.nspname = $1 AND t.relname = $2 AND c.relkind IN ('r', 'm')
"""


@dataclass(frozen=True, slots=True)
class Size:
    """What the catalog knows without reading the table.

    :param pages: of 8 KB, as the file has them now.
    :param rows: estimated, as the planner does: by the rows of a page when it was last analyzed.
    """

    pages: int
    rows: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Some rows or some pages of a table, the same ones each time.

    :param method: `BERNOULLI` draws rows, `SYSTEM` pages.
    :param percent: that is drawn.
    :param pages: that are drawn, about; None where rows are.
    """

    method: Literal["BERNOULLI", "SYSTEM"]
    percent: float
    pages: int | None = None

    def clause(self) -> exp.TableSample:
        return exp.TableSample(
            method=exp.var(self.method),
            percent=exp.Literal.number(f"{self.percent:.6f}"),
            seed=exp.Literal.number(1),
        )

    def total(self, rows: int) -> int:
        """Estimate the rows of the whole table by those of the sample."""
        return round(rows * 100 / self.percent)

    def independent(self, rows: int) -> int:
        """How many of so many rows tell something of their own, at the least."""
        return rows if self.pages is None else min(rows, self.pages)


def read_size(client: PostgresClient, schema: str, table: str) -> Size:
    """Ask how large a table is, with its partitions."""
    rows = client.query(_SIZE, [schema, table], doing="to look up the size of")
    ((size, tuples, pages),) = rows or [(0, 0.0, 0)]
    now = int(size) // _PAGE
    of_a_page = float(tuples) / int(pages) if pages and tuples else _ROWS_OF_A_PAGE
    return Size(now, now * of_a_page)


def choose_sample(size: Size, wanted: int) -> Sample | None:
    """Choose a part with about so many rows; None where the table is not much larger."""
    if size.rows <= _WORTH_IT * wanted:
        return None
    percent = 100.0 * _SPARE * wanted / size.rows
    if size.pages <= _SCANNED:
        return Sample("BERNOULLI", percent)
    pages = max(round(size.pages * percent / 100), _FEWEST_PAGES)
    return Sample("SYSTEM", 100.0 * pages / size.pages, pages)
