r"""Load a CSV into a logged PostgreSQL table: the batch engine against the roads people take today.

    python benchmarks/batch.py [--rows 5000000] [--runs 5] [--key] [--peers psql,etl]

Every contender loads the same file into an empty table; runs are interleaved, figures are medians,
and ratios are taken pair by pair against the first one. CPU is client and server together. The
engine also checks six rules and quarantines; the others do neither. A peer that is not installed is
left out, said so.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import Cluster
from data import write_csv
from measure import Sample, ServerCpu, interleave, measure, medians
from orders import RULES, TABLE, etl_command

if TYPE_CHECKING:
    from collections.abc import Callable

PANDAS = """
import csv, io, sys
import pandas, psycopg2
connection = psycopg2.connect(sys.argv[2])
with connection, connection.cursor() as cursor:
    for chunk in pandas.read_csv(sys.argv[1], chunksize=100_000, dtype={"customer_id": "Int64"}):
        chunk["shipped_on"] = pandas.to_datetime(chunk["shipped_on"], format="%d.%m.%Y")
        chunk["ordered_at"] = pandas.to_datetime(chunk["ordered_at"])
        text = io.StringIO()
        chunk.to_csv(text, index=False, header=False)
        text.seek(0)
        cursor.copy_expert("COPY public.orders FROM STDIN WITH (FORMAT csv)", text)
"""

DLT = """
import sys, tempfile
import dlt, pyarrow as pa, pyarrow.csv as pc
from dlt.destinations import postgres
money = pa.decimal128(12, 2)
types = {"order_id": pa.int64(), "customer_id": pa.int64(), "ordered_at": pa.timestamp("us"),
         "shipped_on": pa.string(), "amount": money, "tax": money, "quantity": pa.int64(),
         "is_gift": pa.bool_()}
@dlt.resource(name="orders", write_disposition="append")
def orders():
    read = pc.ReadOptions(block_size=16 << 20)
    convert = pc.ConvertOptions(column_types=types)
    for batch in pc.open_csv(sys.argv[1], read_options=read, convert_options=convert):
        yield pa.Table.from_batches([batch])
pipeline = dlt.pipeline("bench", destination=postgres(credentials=sys.argv[2]),
                        dataset_name="dlt_bench", pipelines_dir=tempfile.mkdtemp(), dev_mode=False)
pipeline.run(orders(), loader_file_format="parquet")
"""


def main() -> None:
    """Make the data, run the contenders, print the table."""
    arguments = _arguments()
    folder = Path(arguments.folder or tempfile.gettempdir()) / "etl-bench"
    folder.mkdir(parents=True, exist_ok=True)
    csv = write_csv(folder / f"orders-{arguments.rows}-0.0.csv", rows=arguments.rows)
    bad = folder / f"orders-{arguments.rows}-{arguments.bad}.csv"
    if "etl_bad_rows" in arguments.peers:
        write_csv(bad, rows=arguments.rows, bad_share=arguments.bad)
    print(f"{csv.name}: {csv.stat().st_size / 1e6:.0f} MB, {arguments.rows} rows")
    with Cluster() as cluster:
        bench = _Bench(cluster, csv, bad, folder, key=arguments.key, python=arguments.peer_python)
        contenders: dict[str, Callable[[], Sample]] = {}
        for name in arguments.peers.split(","):
            reason = bench.missing(name)
            if reason:
                print(f"  {name} is left out: {reason}")
            else:
                contenders[name] = getattr(bench, name)
        samples = interleave(contenders, runs=arguments.runs)
        print("\n" + medians(samples, base=next(iter(contenders))))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--bad", type=float, default=0.01, help="share of bad rows in etl_bad_rows (default 0.01)"
    )
    parser.add_argument("--key", action="store_true", help="the table has a primary key")
    parser.add_argument("--peers", default="psql,etl,etl_without_rules,etl_bad_rows,pandas,dlt")
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        help="the Python that pandas and dlt are installed for",
    )
    parser.add_argument("--folder", help="where the data goes; the temporary folder when absent")
    return parser.parse_args()


class _Bench:
    def __init__(
        self, cluster: Cluster, csv: Path, bad: Path, folder: Path, *, key: bool, python: str
    ) -> None:
        self.cluster = cluster
        self.csv = csv
        self.bad = bad
        self.folder = folder
        self.python = python
        self.key = "PRIMARY KEY" if key else ""
        self.server = ServerCpu(cluster.postmaster)

    def missing(self, name: str) -> str | None:
        if name not in ("pandas", "dlt"):
            return None
        found = subprocess.run(
            [self.python, "-c", f"import {name}, psycopg2"], check=False, capture_output=True
        )
        return f"{name} or psycopg2 is not installed" if found.returncode else None

    def psql(self) -> Sample:
        # `\copy` takes ISO dates only: the day-first column is read as the server's DateStyle says.
        return self._run(
            [
                str(self.cluster.bin / "psql"), "-q", "-v", "ON_ERROR_STOP=1", self.cluster.dsn,
                "-c", "SET datestyle = 'ISO, DMY'",
                "-c", f"\\copy public.orders FROM '{self.csv}' WITH (FORMAT csv, HEADER)",
            ]
        )  # fmt: skip

    def etl(self) -> Sample:
        return self._etl(RULES)

    def etl_without_rules(self) -> Sample:
        return self._etl(" []")

    def etl_bad_rows(self) -> Sample:
        """The six rules over the same rows, some of which are bad: a hundredth, unless told."""
        return self._etl(RULES, csv=self.bad)

    def pandas(self) -> Sample:
        return self._run([self.python, "-c", PANDAS, str(self.csv), self.cluster.dsn])

    def dlt(self) -> Sample:
        self._sql("DROP SCHEMA IF EXISTS dlt_bench CASCADE")
        return self._run([self.python, "-c", DLT, str(self.csv), self.cluster.dsn])

    def _etl(self, rules: str, *, csv: Path | None = None) -> Sample:
        return self._run(etl_command(self.folder, csv=csv or self.csv, rules=rules))

    def _run(self, command: list[str]) -> Sample:
        self._sql(TABLE.format(key=self.key))
        environment = os.environ | {"AIRFLOW_CONN_WAREHOUSE": self.cluster.dsn}
        return measure(command, server=self.server, env=environment)

    def _sql(self, sql: str) -> None:
        subprocess.run(
            [str(self.cluster.bin / "psql"), "-q", "-v", "ON_ERROR_STOP=1", self.cluster.dsn],
            input=sql, text=True, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


if __name__ == "__main__":
    main()
