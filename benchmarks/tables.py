r"""List and profile the tables of a PostgreSQL database by sample, as a first look at it does.

    python benchmarks/tables.py [--tables 1000]

One table in twenty has 20,000 rows, all others 200; one more has two million. The time per table
says more than the total: it is spent in Python, and divides by no number of cores.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import replace

import psycopg2
from cluster import Cluster

from airflow_etl_provider.agents.discovery.scan import discover
from airflow_etl_provider.contracts.profile import DatasetProfile
from airflow_etl_provider.engines.targets.postgres.uri import parse_postgres_uri

TABLE = """
CREATE TABLE {name} (
  id bigint PRIMARY KEY, customer_id int, name text, email text, amount numeric(12,2),
  state varchar(10), created timestamptz, note text
);
INSERT INTO {name}
SELECT n, n % 100, 'name ' || n, 'u' || n || '@example.com', n * 1.5,
  (ARRAY['new', 'paid', 'sent'])[n % 3 + 1], now() - n * interval '1 hour', md5(n::text)
FROM generate_series(1, {rows}) n;
"""


def main() -> None:
    """Make the tables, look at them, print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=1000)
    tables = parser.parse_args().tables
    with Cluster() as cluster:
        _fill(cluster.dsn, tables)
        connection = replace(parse_postgres_uri(cluster.dsn), name="shop")
        print("| looked at | tables | wall s | ms a table | CPU s | RSS MiB |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        for what, include in (("many small ones", "t_*"), ("a large one", "large")):
            began, cpu = time.perf_counter(), time.process_time()
            found = list(discover("shop", connections=lambda _name: connection, include=[include]))
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            broken = [one for one in found if not isinstance(one, DatasetProfile)]
            if broken:
                raise SystemExit(f"Not read: {broken[0]}")
            rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            each = 1000 * wall / max(len(found), 1)
            print(f"| {what} | {len(found):,} | {wall:.1f} | {each:.0f} | {cpu:.1f} | {rss:.0f} |")


def _fill(dsn: str, tables: int) -> None:
    connection = psycopg2.connect(dsn)
    with connection, connection.cursor() as cursor:
        for number in range(tables):
            rows = 200 if number % 20 else 20_000
            cursor.execute(TABLE.format(name=f"t_{number:05d}", rows=rows))
        cursor.execute(TABLE.format(name="large", rows=2_000_000))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    connection.close()


if __name__ == "__main__":
    main()
