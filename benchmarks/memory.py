r"""Peak memory of loads that would be large if anything were held: rows, columns, cells.

    python benchmarks/memory.py [--rows 5000000,20000000] [--only rows,columns,cells]

Each load goes into a logged PostgreSQL table. `rows` has six rules and a unique one; `columns` is
100 columns of text and numbers; `cells` has a field of 5 MB in every hundredth record.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import Cluster
from data import write_csv
from measure import Sample, ServerCpu, measure
from orders import RULES, TABLE, UNIQUE, etl_command

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDE, WIDE_ROWS = 100, 500_000
CELL, CELL_ROWS = 5_000_000, 4_000


def main() -> None:
    """Run every load once; memory hardly varies between runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", default="5000000,20000000")
    parser.add_argument("--only", default="rows,columns,cells")
    arguments = parser.parse_args()
    folder = Path(tempfile.gettempdir()) / "etl-bench"
    folder.mkdir(parents=True, exist_ok=True)
    with Cluster() as cluster:
        bench = _Bench(cluster, folder)
        for name in arguments.only.split(","):
            sizes = arguments.rows.split(",") if name == "rows" else [""]
            for size in sizes:
                label, sample = getattr(bench, name)(size)
                print(
                    f"{label:<48} {sample.rss:6.0f} MiB  wall {sample.wall:6.1f} s  "
                    f"CPU {sample.cpu:6.1f} s",
                    flush=True,
                )


class _Bench:
    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.server = ServerCpu(cluster.postmaster)

    def rows(self, size: str) -> tuple[str, Sample]:
        csv = write_csv(self.folder / f"orders-{size}-0.0.csv", rows=int(size))
        self._sql(TABLE.format(key=""))
        command = etl_command(self.folder, csv=csv, rules=RULES + UNIQUE.lstrip("\n"))
        return f"{int(size):,} rows, six rules and a unique one", self._run(command)

    def columns(self, _: str) -> tuple[str, Sample]:
        names = [f"column_{at}" for at in range(WIDE)]
        csv = _write(self.folder / "wide.csv", names, _wide_rows())
        return f"{WIDE_ROWS:,} rows of {WIDE} columns", self._load(csv, "wide")

    def cells(self, _: str) -> tuple[str, Sample]:
        csv = _write(self.folder / "cells.csv", ["id", "text"], _long_cells())
        return f"{CELL_ROWS:,} rows, every hundredth of {CELL / 1e6:.0f} MB", self._load(
            csv, "cells"
        )

    def _load(self, csv: Path, table: str) -> Sample:
        self._sql(f"DROP TABLE IF EXISTS public.{table}; DROP TABLE IF EXISTS public._etl_loads")
        command = Path(sys.executable).with_name("airflow-etl")
        return self._run([str(command), "load", str(csv), self.cluster.dsn, "--table", table])

    def _run(self, command: list[str]) -> Sample:
        environment = os.environ | {"AIRFLOW_CONN_WAREHOUSE": self.cluster.dsn}
        return measure(command, server=self.server, env=environment)

    def _sql(self, sql: str) -> None:
        subprocess.run(
            [str(self.cluster.bin / "psql"), "-q", "-v", "ON_ERROR_STOP=1", self.cluster.dsn],
            input=sql, text=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _write(path: Path, names: list[str], rows: Iterator[str]) -> Path:
    if not path.exists():
        partial = path.with_suffix(".partial")
        with partial.open("w") as file:
            file.write(",".join(names) + "\n")
            for row in rows:
                file.write(row + "\n")
        partial.rename(path)
    return path


def _wide_rows() -> Iterator[str]:
    chance = random.Random(7)
    words = [f"word {at} of many" for at in range(1000)]
    for _ in range(WIDE_ROWS):
        numbers = [str(chance.randrange(10**6)) for _ in range(WIDE // 2)]
        yield ",".join(numbers + chance.choices(words, k=WIDE - WIDE // 2))


def _long_cells() -> Iterator[str]:
    for at in range(CELL_ROWS):
        yield f"{at},{'x' * CELL if at % 100 == 0 else 'short'}"


if __name__ == "__main__":
    main()
