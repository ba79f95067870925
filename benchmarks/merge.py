r"""Merge a million rows, a fifth of them updates, into a table of five: ours and bare SQL.

    python benchmarks/merge.py [--rows 1000000] [--into 5000000] [--runs 5]

The bare road is `\copy` into a temporary table and `INSERT ... ON CONFLICT DO UPDATE`, in one
transaction. Runs are interleaved, figures are medians, ratios are taken pair by pair.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from cluster import Cluster
from data import COLUMNS, write_csv
from measure import Sample, ServerCpu, interleave, measure, medians
from orders import RULES, TABLE, etl_command

STAGED = "CREATE TEMPORARY TABLE staged (LIKE public.orders) ON COMMIT DROP"
_SET = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS[1:])
UPSERT = (
    f"INSERT INTO public.orders SELECT * FROM staged ON CONFLICT (order_id) DO UPDATE SET {_SET}"
)


def main() -> None:
    """Make the data and the table, run both roads, print the table of figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--into", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    folder = Path(tempfile.gettempdir()) / "etl-bench"
    folder.mkdir(parents=True, exist_ok=True)
    held = write_csv(folder / f"orders-{arguments.into}-0.0.csv", rows=arguments.into)
    # A fifth of the keys are the last ones of the table.
    first = arguments.into - arguments.rows // 5
    coming = write_csv(
        folder / f"orders-{arguments.rows}-from-{first}.csv", rows=arguments.rows, first=first
    )
    with Cluster() as cluster:
        bench = _Bench(cluster, folder, held=held, coming=coming)
        samples = interleave(
            {"psql": bench.psql, "etl": bench.etl, "etl_without_rules": bench.etl_without_rules},
            runs=arguments.runs,
        )
    print("\n" + medians(samples, base="psql"))


class _Bench:
    def __init__(self, cluster: Cluster, folder: Path, *, held: Path, coming: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.coming = coming
        self.server = ServerCpu(cluster.postmaster)
        self._psql("SET datestyle = 'ISO, DMY'; " + TABLE.format(key=""), database="template1")
        self._psql(
            "SET datestyle = 'ISO, DMY'",
            f"\\copy public.orders FROM '{held}' WITH (FORMAT csv, HEADER)",
            "ALTER TABLE public.orders ADD PRIMARY KEY (order_id)",
            "VACUUM (FREEZE, ANALYZE) public.orders",
            database="template1",
        )

    def psql(self) -> Sample:
        return self._run(
            [
                str(self.cluster.bin / "psql"), "-q", "-v", "ON_ERROR_STOP=1", self._dsn("merged"),
                "-c", "SET datestyle = 'ISO, DMY'", "-c", "BEGIN", "-c", STAGED,
                "-c", f"\\copy staged FROM '{self.coming}' WITH (FORMAT csv, HEADER)",
                "-c", UPSERT, "-c", "COMMIT",
            ]
        )  # fmt: skip

    def etl(self) -> Sample:
        return self._etl(RULES)

    def etl_without_rules(self) -> Sample:
        return self._etl(" []")

    def _etl(self, rules: str) -> Sample:
        mode = "mode: merge, key: [order_id]"
        return self._run(etl_command(self.folder, csv=self.coming, rules=rules, mode=mode))

    def _run(self, command: list[str]) -> Sample:
        # A copy of the files: every run merges into the same table.
        self._psql(
            "DROP DATABASE IF EXISTS merged", "CREATE DATABASE merged", "CHECKPOINT",
            database="postgres",
        )  # fmt: skip
        environment = os.environ | {"AIRFLOW_CONN_WAREHOUSE": self._dsn("merged")}
        return measure(command, server=self.server, env=environment)

    def _dsn(self, database: str) -> str:
        return f"{self.cluster.dsn.rpartition('/')[0]}/{database}"

    def _psql(self, *commands: str, database: str) -> None:
        given = [part for command in commands for part in ("-c", command)]
        subprocess.run(
            [
                str(self.cluster.bin / "psql"), "-q", "-v", "ON_ERROR_STOP=1", self._dsn(database),
                *given,
            ],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


if __name__ == "__main__":
    main()
