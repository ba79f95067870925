"""Arrow batches in the form in which PostgreSQL's binary COPY reads each column.

The driver writes an Arrow value's bytes and names no type, so a column may travel as whatever has
the right bytes: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_etl_provider.engines.arrow_values import scalar_of
from airflow_etl_provider.engines.targets.postgres.array_text import array_texts
from airflow_etl_provider.exceptions import TargetDataError, TargetSchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_etl_provider.engines.targets.postgres.types import Encoding

__all__ = ["WireFormat"]

_EPOCH_DAYS = 10_957
_EPOCH_MICROSECONDS = _EPOCH_DAYS * 86_400_000_000
"""2000-01-01, where PostgreSQL counts from, after 1970-01-01, where Arrow does."""

_DATE_ENDS = (-(2**31), 2**31 - 1)
_TIMESTAMP_ENDS = (-(2**63), 2**63 - 1)
"""-infinity and infinity, for PostgreSQL. DuckDB's -infinity is one above the lower end."""

_HEX: Any = np.full(256, 255, dtype=np.uint8)
_HEX[[*b"0123456789"]] = range(10)
_HEX[[*b"abcdef"]] = range(10, 16)
_HEX[[*b"ABCDEF"]] = range(10, 16)
_DIGITS = [at for at in range(36) if at not in (8, 13, 18, 23)]
_HYPHENS = [8, 13, 18, 23]
_NO_UUID = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class WireFormat:
    """How the batches of one load travel.

    :param constants: columns that are added with one value for all rows: `text`, or microseconds
        since 1970 for a timestamptz.
    """

    schema: pa.Schema
    encodings: tuple[Encoding, ...]
    constants: tuple[tuple[str, str | int], ...] = ()

    @property
    def wire_schema(self) -> pa.Schema:
        fields = [
            pa.field(field.name, _WIRE_TYPES.get(encoding, field.type))
            for field, encoding in zip(self.schema, self.encodings, strict=True)
        ]
        fields += [
            pa.field(name, pa.string() if isinstance(value, str) else pa.int64())
            for name, value in self.constants
        ]
        return pa.schema(fields)

    def check(self, given: pa.Schema) -> None:
        """Refuse batches of other types: their bytes would be read as something else.

        :raises TargetSchemaError: names or types differ from `schema`.
        """
        if given.names != self.schema.names or given.types != self.schema.types:
            raise TargetSchemaError(
                "The batches do not have the columns and types of `arrow_schema`: "
                f"{', '.join(f'{f.name} {f.type}' for f in given)}."
            )

    def encode(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Give every batch its form on the wire."""
        schema = self.wire_schema
        for batch in batches:
            columns = [
                _encode(column, encoding, name)
                for column, encoding, name in zip(
                    batch.columns, self.encodings, batch.schema.names, strict=True
                )
            ]
            columns += _repeat(self.constants, rows=batch.num_rows)
            yield pa.RecordBatch.from_arrays(columns, schema=schema)


_WIRE_TYPES: dict[Encoding, pa.DataType] = {
    "date": pa.int32(),
    "timestamp": pa.int64(),
    "uuid": pa.binary(16),
    "array": pa.string(),
}


def _repeat(constants: Sequence[tuple[str, str | int]], *, rows: int) -> list[pa.Array]:
    return [
        pa.repeat(value if isinstance(value, str) else value - _EPOCH_MICROSECONDS, rows)
        for _, value in constants
    ]


def _encode(column: pa.Array, encoding: Encoding, name: str) -> pa.Array:
    if encoding == "date":
        return _since_2000(column.view(pa.int32()), _EPOCH_DAYS, _DATE_ENDS)
    if encoding == "timestamp":
        return _since_2000(column.view(pa.int64()), _EPOCH_MICROSECONDS, _TIMESTAMP_ENDS)
    if encoding == "jsonb":
        # The version of jsonb's binary form, and then its text.
        return pc.binary_join_element_wise("\x01", column, "")
    if encoding == "uuid":
        return _uuid_bytes(column, name)
    if encoding == "array":
        return array_texts(column)
    return column


def _since_2000(values: pa.Array, epoch: int, ends: tuple[int, int]) -> pa.Array:
    moved = pc.subtract(values, scalar_of(epoch, values.type))
    low, high = pc.min_max(values).as_py().values()
    if low is None or (low > ends[0] + epoch and high < ends[1]):
        return moved
    # Below the lower end plus the epoch the subtraction wraps around; no date is that early, so
    # what is there is -infinity or an error that PostgreSQL is to find: -infinity's neighbours.
    moved = pc.if_else(pc.equal(values, ends[1]), scalar_of(ends[1], values.type), moved)
    early = pc.less_equal(values, ends[0] + 1)
    moved = pc.if_else(early, scalar_of(ends[0], values.type), moved)
    wrapped = pc.and_(pc.less(values, ends[0] + epoch), pc.invert(early))
    return pc.if_else(wrapped, scalar_of(ends[0] + 1, values.type), moved)


def _uuid_bytes(column: pa.Array, name: str) -> pa.Array:
    filled = pc.fill_null(column, _NO_UUID)
    if len(filled) and pc.min_max(pc.binary_length(filled)).as_py() != {"min": 36, "max": 36}:
        raise _no_uuid(name)
    width = np.dtype(np.int64 if pa.types.is_large_string(filled.type) else np.int32)
    _, offsets, data = filled.buffers()
    start = np.frombuffer(offsets, dtype=width)[filled.offset] if len(filled) else 0
    text = np.frombuffer(data or b"", dtype=np.uint8)[start : start + 36 * len(filled)]
    text = text.reshape(-1, 36)
    digits = _HEX[text[:, _DIGITS]]
    if (digits == 255).any() or (text[:, _HYPHENS] != ord("-")).any():
        raise _no_uuid(name)
    raw = (digits[:, 0::2] << 4) | digits[:, 1::2]
    valid = pa.array(column.is_valid().to_numpy(zero_copy_only=False)).buffers()[1]
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(column), [valid, pa.py_buffer(np.ascontiguousarray(raw))]
    )


def _no_uuid(name: str) -> TargetDataError:
    return TargetDataError(
        f"Column {name!r} is uuid, and a value is none of 36 characters.",
        hint="Convert it with `cast`, which rejects such rows one by one.",
    )
