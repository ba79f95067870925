"""Bits answer what looking at every byte would answer."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_etl_provider.engines.sources.delimited import bits, count
from airflow_etl_provider.engines.sources.delimited.dialect import ResolvedDialect

flags = st.lists(st.booleans(), min_size=1, max_size=300)


def unpack(words: Any, size: int) -> list[bool]:
    return [bits.is_set(words, at) for at in range(size)]


@given(flags)
def test_packed_bits_are_those_that_were_given(given_flags: list[bool]) -> None:
    packed = bits.pack(np.array(given_flags))
    assert unpack(packed, len(given_flags)) == given_flags
    assert bits.ones(packed) == sum(given_flags)
    if any(given_flags):
        assert bits.first_one(packed) == given_flags.index(True)
        assert bits.last_one(packed) == len(given_flags) - 1 - given_flags[::-1].index(True)


@given(flags, st.booleans())
def test_parity_is_that_of_all_bits_before_and_here(given_flags: list[bool], odd: bool) -> None:
    spread, end = bits.spread_parity(bits.pack(np.array(given_flags)), odd=odd)
    wanted = [(odd + sum(given_flags[: at + 1])) % 2 == 1 for at in range(len(given_flags))]
    assert unpack(spread, len(given_flags)) == wanted
    assert end == wanted[-1]


@given(st.lists(flags, min_size=1, max_size=5), st.integers(0, 3), st.sampled_from([1, 2]))
def test_a_stream_looks_back_over_the_borders_of_chunks(
    chunks: list[list[bool]], before: int, back: int
) -> None:
    stream = bits.BitStream(before=before)
    # All chunks but the last have whole words.
    whole = [(chunk * 64)[: 64 * (1 + len(chunk) // 64)] for chunk in chunks[:-1]] + chunks[-1:]
    seen = [bool(before & 2), bool(before & 1)]
    for chunk in whole:
        stream.take(bits.pack(np.array(chunk)), len(chunk))
        seen += chunk
        start = len(seen) - len(chunk) - back
        assert unpack(stream.before(back), len(chunk)) == seen[start : start + len(chunk)]


pieces = st.sampled_from(
    [b"a", b",", b'"', b'""', b"\n", b"\n", b" ", b"\t", b"\r\n", b"\r", "ü".encode(), b"\xff"]
)


@given(st.lists(pieces, max_size=200), st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", '"']))
def test_the_size_of_chunks_changes_no_count(parts: list[bytes], newline: str, quote: str) -> None:
    dialect = ResolvedDialect(
        encoding="utf-8", bom=0, delimiter=",", quote=quote, escape="", comment="",
        newline=newline, skip_rows=0, header_rows=0, columns=("a", "b"),
    )  # fmt: skip
    data = b"".join(parts)
    whole = count.count_bytes(BytesIO(data), dialect, body=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(count, "CHUNK", 64)
        cut = count.count_bytes(BytesIO(data), dialect, body=0)
    # Which hazard is named first, and a hazard too many at the border of chunks, are free.
    if whole.hazard is None and cut.hazard is None:
        assert cut == whole
    elif cut.hazard is None:
        assert whole.hazard is None
    if whole.hazard is None and cut.hazard is not None:
        assert cut.hazard == "lines of blanks"
