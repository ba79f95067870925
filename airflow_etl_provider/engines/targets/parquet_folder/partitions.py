"""Folders of partitions as Hive names them: `year=2024/country=DE`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_etl_provider.exceptions import SpecificationError, TargetDataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from airflow_etl_provider.contracts.schema import Schema

__all__ = ["NULL", "check_partition_by", "folder_name", "folder_values", "split"]

NULL = "__HIVE_DEFAULT_PARTITION__"

NAME_BYTES = 255
"""What a file system takes as one name."""

PATH_BYTES = 700
"""Of the 1,024 that an object store takes as a key; the prefix and the file need their share."""

_ESCAPED = re.compile(r"[\x00-\x1f\x7f\"#%'*/:=?\\{\[\]^]")
"""What Hive and Spark write as %XX; they decode other letters wrongly when they are written so."""

_HIDDEN = ("_", ".")

_KINDS = ("bool", "int16", "int32", "int64", "decimal", "string", "date", "timestamp",
          "timestamptz", "uuid")  # fmt: skip


def check_partition_by(partition_by: Sequence[str], schema: Schema) -> None:
    """Check that the columns can name folders.

    :raises SpecificationError: one is not there, of a type that a folder's name can't tell, or of
        a name that hides the folder, or no column would be left for the files.
    """
    for name in partition_by:
        if name not in schema:
            raise SpecificationError(
                f"The load has no column {name!r}, which `partition_by` names.",
                hint=f"It has: {', '.join(schema.names)}.",
            )
        if name.startswith(_HIDDEN):
            raise SpecificationError(
                f"Column {name!r} of `partition_by` begins with {name[0]!r}: pyarrow, Spark and "
                "others pass over folders that are named so, and would see no row.",
                hint="Give the column another name in the contract, or partition by another.",
            )
        kind = schema[name].type.kind
        if kind not in _KINDS:
            raise SpecificationError(
                f"Column {name!r} is {schema[name].type}, which can't name a folder.",
                hint=f"Columns of `partition_by` may be: {', '.join(_KINDS)}.",
            )
    if partition_by and len(partition_by) == len(schema):
        raise SpecificationError(
            "Every column is in `partition_by`, and none is left for the files.",
            hint="Name fewer columns there.",
        )


def folder_name(names: Sequence[str], values: Sequence[str | None]) -> str:
    """The folder of one partition.

    :raises TargetDataError: a value can't be a folder's name; it is not told.
    """
    parts = []
    for name, value in zip(names, values, strict=True):
        if value == NULL:
            raise TargetDataError(
                f"A value of column {name!r} is the word by which folders of partitions mean NULL.",
                hint="Partition by another column, or have a conversion replace it.",
            )
        part = f"{_escape(name)}={NULL if value is None else _escape(value)}"
        if len(part.encode()) > NAME_BYTES:
            raise TargetDataError(
                f"A value of column {name!r} is too long for the name of a folder, which has at "
                f"most {NAME_BYTES} bytes.",
                hint="Partition by another column, or shorten it by a conversion (`substring`).",
            )
        parts.append(part)
    path = "/".join(parts)
    if len(path.encode()) > PATH_BYTES:
        raise TargetDataError(
            f"The values of {', '.join(names)} together are too long for the path of a folder, "
            f"which has at most {PATH_BYTES} bytes.",
            hint="Partition by fewer columns.",
        )
    return path


def folder_values(folder: str) -> dict[str, str | None]:
    """The values that a folder's name tells, as text."""
    found: dict[str, str | None] = {}
    for part in filter(None, folder.split("/")):
        name, _, value = part.partition("=")
        found[unquote(name)] = None if value == NULL else unquote(value)
    return found


def split(batch: pa.RecordBatch, names: Sequence[str]) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each partition with its folder, in the order of rows, without its columns."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kept = [at for at, name in enumerate(batch.schema.names) if name not in names]
    rest = pa.RecordBatch.from_arrays(
        [batch.column(at) for at in kept], schema=pa.schema([batch.schema.field(at) for at in kept])
    )
    if not batch.num_rows:
        return
    codes = _codes(batch, names)
    order = pc.sort_indices(codes)
    runs = pc.run_end_encode(codes.take(order), run_end_type=pa.int32())
    ends = runs.run_ends.to_pylist()
    starts = [0, *ends[:-1]]
    firsts = order.take(_int32(starts))
    texts = [batch.column(name).take(firsts).cast(pa.string()).to_pylist() for name in names]
    for start, end, *values in zip(starts, ends, *texts, strict=True):
        whole = end - start == batch.num_rows
        rows = rest if whole else rest.take(order.slice(start, end - start))
        yield folder_name(names, values), rows


def _codes(batch: pa.RecordBatch, names: Sequence[str]) -> pa.Array:
    """A number per row, the same for rows of one partition."""
    import pyarrow as pa
    import pyarrow.compute as pc

    codes: pa.Array | None = None
    for name in names:
        encoded = batch.column(name).dictionary_encode()
        distinct = len(encoded.dictionary)
        here = encoded.indices.cast(pa.int64()).fill_null(distinct)
        if codes is not None:
            # Made dense before each step, so that the product stays below 2**63.
            dense = codes.dictionary_encode().indices.cast(pa.int64())
            here = pc.add(pc.multiply(dense, distinct + 1), here)
        codes = here
    return codes


def _int32(values: list[int]) -> pa.Array:
    import pyarrow as pa

    from airflow_etl_provider.engines.arrow_values import array_of

    return array_of(values, pa.int32())


def _escape(text: str) -> str:
    return _ESCAPED.sub(lambda found: f"%{ord(found[0]):02X}", text)
