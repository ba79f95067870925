"""Arrow arrays from Python values, without pandas.

`pyarrow.array` imports pandas wherever it is installed, as it is beside every Airflow with the
amazon provider: more than a second and some 60 MB for each command and each task. What is built
here are the arrays that a run makes from Python values: text, bytes, whole numbers, truth values,
moments, and lists and structs of them. Any other type goes to `pyarrow.array`.
"""

from __future__ import annotations

from array import array
from datetime import datetime, timedelta, timezone
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa

__all__ = ["array_of", "one_row", "scalar_of"]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def array_of(values: Sequence[Any], of: pa.DataType) -> pa.Array:
    """Make an array of the type; None is null.

    :raises TypeError, OverflowError: a value is not of that type.
    :raises UnicodeEncodeError: a text holds half of a surrogate pair.
    """
    import pyarrow as pa

    if pa.types.is_string(of) or pa.types.is_large_string(of):
        return _of_text(values, of)
    if pa.types.is_binary(of) or pa.types.is_large_binary(of):
        return _of_bytes(values, of)
    if pa.types.is_signed_integer(of):
        numbers = array(_SIGNED[of.bit_width], [0 if v is None else v for v in values])
        return pa.Array.from_buffers(
            of, len(values), [_validity(values), pa.py_buffer(numbers.tobytes())]
        )
    if of == pa.timestamp("us", "UTC"):
        moments = [v if v is None else (v - EPOCH) // timedelta(microseconds=1) for v in values]
        return array_of(moments, pa.int64()).view(of)
    if pa.types.is_boolean(of):
        if not all(v is None or isinstance(v, bool) for v in values):
            raise TypeError("not a truth value")
        return pa.Array.from_buffers(of, len(values), [_validity(values), _bits(values)])
    if pa.types.is_list(of):
        lengths = (len(v) if v is not None else 0 for v in values)
        items = list(chain.from_iterable(v for v in values if v is not None))
        return pa.Array.from_buffers(
            of,
            len(values),
            [_validity(values), _offsets(lengths, large=False)],
            children=[array_of(items, of.value_type)],
        )
    if pa.types.is_struct(of):
        children = [
            array_of([v if v is None else v.get(field.name) for v in values], field.type)
            for field in of
        ]
        return pa.Array.from_buffers(of, len(values), [_validity(values)], children=children)
    return pa.array(values, of)


def scalar_of(value: Any, of: pa.DataType) -> pa.Scalar:
    """Make one value of the type."""
    return array_of([value], of)[0]


def one_row(values: Sequence[str | int | bool | datetime | None]) -> pa.RecordBatch:
    """Make the parameters of one statement, named by their places."""
    import pyarrow as pa

    types = {
        str: pa.string(),
        int: pa.int64(),
        bool: pa.bool_(),
        datetime: pa.timestamp("us", "UTC"),
    }
    arrays = [
        pa.nulls(1) if value is None else array_of([value], types[type(value)]) for value in values
    ]
    return pa.RecordBatch.from_arrays(arrays, names=[str(at) for at in range(len(values))])


_SIGNED = {8: "b", 16: "h", 32: "i", 64: "q"}


def _of_text(values: Sequence[str | None], of: pa.DataType) -> pa.Array:
    filled = [v or "" for v in values]
    joined = "".join(filled)
    if not joined.isascii():
        return _of_bytes([v if v is None else v.encode() for v in values], of)
    # One byte a character: encoded as a whole, a third of the time.
    return _variable(values, map(len, filled), joined.encode(), of)


def _of_bytes(values: Sequence[bytes | None], of: pa.DataType) -> pa.Array:
    filled = [v or b"" for v in values]
    return _variable(values, map(len, filled), b"".join(filled), of)


def _variable(
    values: Sequence[Any], lengths: Iterable[int], data: bytes, of: pa.DataType
) -> pa.Array:
    import pyarrow as pa

    large = pa.types.is_large_string(of) or pa.types.is_large_binary(of)
    buffers = [_validity(values), _offsets(lengths, large=large), pa.py_buffer(data)]
    return pa.Array.from_buffers(of, len(values), buffers)


def _offsets(lengths: Iterable[int], *, large: bool) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(array("q" if large else "i", accumulate(lengths, initial=0)).tobytes())


def _validity(values: Sequence[Any]) -> pa.Buffer | None:
    """One bit a value, least significant first; None when none is null."""
    return _bits([v is not None for v in values]) if None in values else None


def _bits(flags: Sequence[bool | None]) -> pa.Buffer:
    import numpy as np
    import pyarrow as pa

    packed = np.fromiter((v is True for v in flags), dtype=np.bool_, count=len(flags))
    return pa.py_buffer(np.packbits(packed, bitorder="little").tobytes())
