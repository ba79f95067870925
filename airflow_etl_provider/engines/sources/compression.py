"""Stored files as streams of bytes: plain, packed, or a member of a zip archive.

Everything is streamed, so an archive that unpacks to more than the memory does no harm.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

from airflow_etl_provider.exceptions import (
    NotSupportedYetError,
    SourceError,
    SourceFormatError,
    SourceNotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from airflow_etl_provider.engines.sources.remote import RemoteFile

__all__ = ["PACKED_SUFFIXES", "Compression", "StoredFile", "compression_of", "zip_members"]

Compression = Literal["none", "gzip", "zstd", "bzip2", "xz", "zip"]

CHUNK = 2**20

_UNREADABLE = (
    EOFError,
    zlib.error,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
)

_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x50\x2a\x4d\x18", "zstd"),  # a frame to skip, with which pzstd begins
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
)

_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
"""What begins a block of bzip2, and ends a file of none: text may begin with BZh, too."""

PACKED_SUFFIXES = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz")
"""What a packed file's name has behind that of its content."""


_BINARY = re.compile(rb"[\x01-\x08\x0e-\x1b]")
"""Control characters that text in no encoding has; NUL is half of many UTF-16 letters."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One stream of bytes on disk, and how to unpack it.

    :param name: as shown to people: `archive.zip!member` for a member.
    :param remote: where it comes from; `path` is then that of its copy, which may not be there yet.
    """

    name: str
    path: Path
    compression: Compression = "none"
    member: str | None = None
    remote: RemoteFile | None = None

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The unpacked bytes; errors of reading are ours from here on.

        :raises SourceFormatError: it is damaged, cut off, or needs a password.
        :raises SourceError: it can't be read.
        """
        try:
            with ExitStack() as stack:
                yield self._unpacked(stack)
        except _UNREADABLE as error:
            raise self._damaged(error) from error
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"{self.name} is gone: {self.path}.") from error
        except OSError as error:
            if error.errno is None and self.compression in ("bzip2", "zstd"):
                raise self._damaged(error) from error
            raise SourceError(f"{self.name} can't be read: {error.strerror or error}.") from error

    def stored(self) -> BinaryIO:
        """The bytes as they are stored; they can be sought."""
        return self.path.open("rb") if self.remote is None else self.remote.open()

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The unpacked bytes, piece by piece."""
        with self.open() as stream:
            while chunk := stream.read(size):
                yield chunk

    def sample(self, size: int = CHUNK) -> tuple[bytes, bool]:
        """The first bytes, and whether they are all."""
        with self.open() as stream:
            data = _read_fully(stream, size + 1)
        return data[:size], len(data) <= size

    def _damaged(self, error: Exception) -> SourceFormatError:
        return SourceFormatError(
            f"{self.name} can't be unpacked as {self.compression}: {error}.",
            hint="The file is damaged or was cut off; fetch it again.",
        )

    def _unpacked(self, stack: ExitStack) -> BinaryIO:
        packed = stack.enter_context(self.stored())
        if self.compression == "none":
            return packed
        if self.compression == "zip":
            archive = stack.enter_context(zipfile.ZipFile(packed))
            return stack.enter_context(self._open_member(archive))
        if self.compression == "zstd":
            from airflow_etl_provider.engines.sources.zstd import open_zstd

            return stack.enter_context(open_zstd(packed))
        openers: dict[str, Callable[[BinaryIO], Any]] = {
            "gzip": gzip.open,
            "bzip2": bz2.open,
            "xz": lzma.open,
        }
        return cast("BinaryIO", stack.enter_context(openers[self.compression](packed)))

    def _open_member(self, archive: zipfile.ZipFile) -> BinaryIO:
        try:
            return cast("BinaryIO", archive.open(self.member or ""))
        except KeyError as error:
            raise SourceNotFoundError(f"{self.name} is no longer in the archive.") from error
        except RuntimeError as error:
            raise SourceFormatError(
                f"{self.name} is encrypted.", hint="Store it without a password."
            ) from error
        except NotImplementedError as error:
            raise NotSupportedYetError(
                f"{self.name} is packed by a method that is not supported yet: {error}."
            ) from error


def compression_of(file: StoredFile) -> Compression:
    """Tell by the first bytes, whatever the name says.

    :param file: as it is stored.

    :raises SourceFormatError: it is named as an archive, and is neither that nor text.
    """
    with file.open() as stream:
        start_of_file = stream.read(4096)
    for magic, kind in _MAGIC:
        if start_of_file.startswith(magic) and (kind != "bzip2" or start_of_file[4:10] in _BLOCKS):
            return kind
    suffix = PurePath(file.name).suffix
    if suffix.lower() in (*PACKED_SUFFIXES, ".zip") and _BINARY.search(start_of_file):
        # Text under such a name is common: HTTP clients unpack and keep the name.
        raise SourceFormatError(
            f"{file.name} is named {suffix}, but holds neither an archive nor text.",
            hint="The file is damaged; fetch it again.",
        )
    return "none"


def zip_members(file: StoredFile) -> list[zipfile.ZipInfo]:
    """The files inside an archive, sorted by name; folders and hidden files are left out.

    :raises SourceFormatError: it is no readable archive, or has nothing to read.
    """
    name = file.name
    try:
        with file.open() as stream, zipfile.ZipFile(stream) as archive:
            infos = archive.infolist()
    except zipfile.BadZipFile as error:
        raise SourceFormatError(f"{name} is no readable zip archive: {error}.") from error
    if {"[Content_Types].xml", "mimetype"} & {info.filename for info in infos}:
        raise SourceFormatError(
            f"{name} is an office document, such as an Excel workbook, and no archive of text.",
            hint="Save the sheet as CSV and load that.",
        )
    members = [
        info
        for info in infos
        if not info.is_dir()
        and not any(part.startswith((".", "__MACOSX")) for part in info.filename.split("/"))
    ]
    if not members:
        raise SourceFormatError(f"{name} is a zip archive without files.")
    seen: set[str] = set()
    for info in members:
        if info.filename in seen:
            raise SourceFormatError(f"{name} holds two files named {info.filename!r}.")
        seen.add(info.filename)
    return sorted(members, key=lambda info: info.filename)


def _read_fully(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
