"""Zstandard as a stream that can be sought."""

from __future__ import annotations

import io
import os

import pyarrow as pa
import pytest

from airflow_etl_provider.engines.sources.zstd import open_zstd

DATA = os.urandom(400_000).hex().encode()


def packed(data: bytes) -> bytes:
    return pa.compress(data, codec="zstd", asbytes=True)


def test_it_reads_what_was_packed() -> None:
    assert open_zstd(io.BytesIO(packed(DATA))).read() == DATA


def test_frames_behind_each_other_are_one_stream() -> None:
    assert open_zstd(io.BytesIO(packed(b"a,b\n") + packed(b"1,2\n"))).readlines() == [
        b"a,b\n",
        b"1,2\n",
    ]


def test_it_goes_forth_and_back() -> None:
    stream = open_zstd(io.BytesIO(packed(DATA)))
    for place in (700_000, 3, 300_000, 299_999, 0, 800_000):
        stream.seek(place)
        assert stream.tell() == place
        assert stream.read(100) == DATA[place : place + 100]


def test_a_stream_that_is_cut_off_is_noticed() -> None:
    with pytest.raises(OSError, match="Truncated"):
        open_zstd(io.BytesIO(packed(DATA)[:-100])).read()


def test_closing_it_leaves_the_file_below_open() -> None:
    below = io.BytesIO(packed(DATA))
    open_zstd(below).close()
    assert not below.closed
