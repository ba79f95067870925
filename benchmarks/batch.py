r"""Load a CSV into a logged PostgreSQL table: the batch engine against the roads people take today.

    python benchmarks/batch.py [--rows 5000000] [--runs 5] [--bad 0.01] [--key] [--peers psql,etl]

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

if TYPE_CHECKING:
    from collections.abc import Callable

PIPELINE = """
pipeline: bench_orders
source: {{ location: {csv}, format: csv }}
target: {{ connection: warehouse, table: public.orders, mode: append }}
mapping: orders.mapping.yaml
max_rejected: none
quarantine: {quarantine}
rules:{rules}
"""

RULES = """
  - { column: order_id, not_null: true }
  - { column: quantity, between: [1, 1000] }
  - { column: amount, between: [0, 1000000] }
  - { column: status, in_set: [new, paid, packed, shipped, returned] }
  - { column: country, length: [2, 2] }
  - { rows: "tax <= amount + 1000" }
"""

CONTRACT = """
contract: bench_orders
status: approved
target:
  fields: { order_id: int64, customer_id: int64, ordered_at: timestamp, shipped_on: date,
            status: string, country: string, amount: "decimal(12,2)", tax: "decimal(12,2)",
            quantity: int64, email: string, comment: string, is_gift: bool }
columns:
  order_id: { from: order_id, convert: cast }
  customer_id: { from: customer_id, convert: cast }
  ordered_at: { from: ordered_at, convert: cast }
  shipped_on: { from: shipped_on, convert: { parse_date: { formats: ["%d.%m.%Y"] } } }
  status: { from: status }
  country: { from: country }
  amount: { from: amount, convert: cast }
  tax: { from: tax, convert: cast }
  quantity: { from: quantity, convert: cast }
  email: { from: email }
  comment: { from: comment }
  is_gift: { from: is_gift, convert: cast }
"""

TABLE = """
DROP TABLE IF EXISTS public.orders;
DROP TABLE IF EXISTS public._etl_loads;
CREATE TABLE public.orders (order_id bigint {key}, customer_id bigint, ordered_at timestamp,
  shipped_on date, status text, country text, amount numeric(12,2), tax numeric(12,2),
  quantity bigint, email text, comment text, is_gift boolean);
CHECKPOINT;
"""

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
    csv = write_csv(
        folder / f"orders-{arguments.rows}-{arguments.bad}.csv",
        rows=arguments.rows,
        bad_share=arguments.bad,
    )
    print(f"{csv.name}: {csv.stat().st_size / 1e6:.0f} MB, {arguments.rows} rows")
    with Cluster() as cluster:
        bench = _Bench(cluster, csv, folder, key=arguments.key, python=arguments.peer_python)
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
    parser.add_argument("--bad", type=float, default=0.0, help="share of rows that can't be loaded")
    parser.add_argument("--key", action="store_true", help="the table has a primary key")
    parser.add_argument("--peers", default="psql,etl,etl_without_rules,pandas,dlt")
    parser.add_argument(
        "--peer-python",
        default=sys.executable,
        help="the Python that pandas and dlt are installed for",
    )
    parser.add_argument("--folder", help="where the data goes; the temporary folder when absent")
    arguments = parser.parse_args()
    if arguments.bad:
        # The bare roads stop at the first bad row.
        arguments.peers = ",".join(p for p in arguments.peers.split(",") if p.startswith("etl"))
    return arguments


class _Bench:
    def __init__(
        self, cluster: Cluster, csv: Path, folder: Path, *, key: bool, python: str
    ) -> None:
        self.cluster = cluster
        self.csv = csv
        self.folder = folder
        self.python = python
        self.key = "PRIMARY KEY" if key else ""
        self.server = ServerCpu(cluster.postmaster)
        (folder / "orders.mapping.yaml").write_text(CONTRACT)

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

    def pandas(self) -> Sample:
        return self._run([self.python, "-c", PANDAS, str(self.csv), self.cluster.dsn])

    def dlt(self) -> Sample:
        self._sql("DROP SCHEMA IF EXISTS dlt_bench CASCADE")
        return self._run([self.python, "-c", DLT, str(self.csv), self.cluster.dsn])

    def _etl(self, rules: str) -> Sample:
        path = self.folder / "orders.yaml"
        path.write_text(
            PIPELINE.format(csv=self.csv, rules=rules, quarantine=self.folder / "quarantine")
        )
        command = Path(sys.executable).with_name("airflow-etl")
        return self._run([str(command), "run", str(path), "--json"])

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
