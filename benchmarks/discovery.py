r"""Profile the CSV of `batch.py` by `airflow-etl discover`, and summarize it by DuckDB.

    python benchmarks/discovery.py [--rows 5000000] [--runs 5]

Both as processes of their own, start included; interleaved, medians, ratios pair by pair.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from data import write_csv
from measure import interleave, measure, medians

_SUMMARIZE = """
import sys
import duckdb
duckdb.sql("SET enable_progress_bar = false")
query = "SUMMARIZE SELECT * FROM read_csv(?, strict_mode = false, ignore_errors = true)"
print(duckdb.execute(query, [sys.argv[1]]).fetchall())
"""


def main() -> None:
    """Make the data, run both, print the table of figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    folder = Path(tempfile.gettempdir()) / "etl-bench"
    folder.mkdir(parents=True, exist_ok=True)
    csv = write_csv(folder / f"orders-{arguments.rows}-0.0.csv", rows=arguments.rows)
    environment = dict(os.environ)
    commands = {
        "SUMMARIZE": [sys.executable, "-c", _SUMMARIZE, str(csv)],
        "discover": [
            sys.executable, "-m", "airflow_etl_provider.cli", "discover", str(csv), "--json",
        ],
    }  # fmt: skip
    samples = interleave(
        {
            name: partial(measure, words, server=None, env=environment)
            for name, words in commands.items()
        },
        runs=arguments.runs,
    )
    print("\n" + medians(samples, base="SUMMARIZE"))


if __name__ == "__main__":
    main()
