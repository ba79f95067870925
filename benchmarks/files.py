r"""Load one CSV of a million rows into PostgreSQL, and the same rows as a thousand files.

    python benchmarks/files.py [--rows 1000000] [--files 1000] [--runs 5] [--bad 0.0]

What a file costs beside its rows is the difference. Runs are interleaved, figures are medians,
ratios are taken pair by pair against the one file.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from itertools import islice
from pathlib import Path

from cluster import Cluster
from data import write_csv
from measure import Sample, ServerCpu, interleave, measure, medians
from orders import RULES, TABLE, etl_command


def main() -> None:
    """Make the data, run both, print the table of figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--bad", type=float, default=0.0, help="share of bad rows (default 0)")
    arguments = parser.parse_args()
    folder = Path(tempfile.gettempdir()) / "etl-bench"
    folder.mkdir(parents=True, exist_ok=True)
    one = folder / f"orders-{arguments.rows}-{arguments.bad}.csv"
    write_csv(one, rows=arguments.rows, bad_share=arguments.bad)
    many = _split(one, into=arguments.files)
    with Cluster() as cluster:
        server = ServerCpu(cluster.postmaster)

        def load(source: Path) -> Sample:
            subprocess.run(
                [str(cluster.bin / "psql"), "-q", "-v", "ON_ERROR_STOP=1", cluster.dsn],
                input=TABLE.format(key=""), text=True, check=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            environment = os.environ | {"AIRFLOW_CONN_WAREHOUSE": cluster.dsn}
            command = etl_command(folder, csv=source, rules=RULES)
            return measure(command, server=server, env=environment)

        contenders = {
            "one file": lambda: load(one),
            f"{arguments.files} files": lambda: load(many / "*.csv"),
        }
        samples = interleave(contenders, runs=arguments.runs)
    print("\n" + medians(samples, base="one file"))


def _split(one: Path, *, into: int) -> Path:
    """Write the lines of a file into so many files, each with its header."""
    many = one.with_suffix(f".{into}-files")
    if many.exists():
        shutil.rmtree(many)
    many.mkdir()
    with one.open("rb") as lines:
        header = next(lines)
        total = sum(1 for _ in lines)
        lines.seek(len(header))
        for number in range(into):
            first, last = total * number // into, total * (number + 1) // into
            part = islice(lines, last - first)
            (many / f"orders_{number:05}.csv").write_bytes(header + b"".join(part))
    return many


if __name__ == "__main__":
    main()
