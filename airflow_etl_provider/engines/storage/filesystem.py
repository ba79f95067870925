"""Open the file system that a URL names, logged in as a connection says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import NotSupportedYetError, SpecificationError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["is_remote", "open_filesystem", "scheme_of", "without_scheme"]

S3_SCHEMES = ("s3", "s3a", "s3n")
"""Three ways to write the same place; the latter two come from Hadoop."""


def scheme_of(url: str) -> str:
    """The scheme in lower case; `file` for a plain path."""
    scheme, separator, _ = url.partition("://")
    return scheme.lower() if separator else "file"


def is_remote(url: str) -> bool:
    """Whether it is in an object store; other schemes are for `open_filesystem` to judge."""
    return scheme_of(url) in S3_SCHEMES


def without_scheme(url: str) -> str:
    """What fsspec calls the path: `bucket/key` of `s3://bucket/key`."""
    return url.partition("://")[2] if "://" in url else url


def open_filesystem(url: str, *, connection: Connection | None = None) -> AbstractFileSystem:
    """The file system that `url` is on. Nothing is connected before its first use.

    Each call gives one of its own, with no cache of listings: what another process wrote a moment
    ago is seen. Operations raise `OSError` or what botocore raises; `trouble_of` explains both.

    :param connection: of kind `aws` for `s3://`; absent, the environment, profile and instance
        role are asked as by any program that uses boto3.
    :raises NotSupportedYetError: the scheme is none that can be opened.
    :raises SpecificationError: the connection is of another kind than the URL needs.
    """
    import fsspec

    scheme = scheme_of(url)
    if scheme == "file":
        _expect_kind(connection, ("file", "fs"), url)
        local: AbstractFileSystem = fsspec.filesystem("file")
        return local
    if scheme in S3_SCHEMES:
        _expect_kind(connection, ("aws",), url)
        return _open_s3(connection)
    raise NotSupportedYetError(
        f"Locations of type {scheme}:// are not supported yet.",
        hint="Use a local path, a file:// or an s3:// URL.",
    )


def _open_s3(connection: Connection | None) -> AbstractFileSystem:
    from s3fs import S3FileSystem

    from airflow_etl_provider.engines.storage.s3 import renewing_session, s3_options

    options: dict[str, Any] = s3_options(connection)
    if connection is not None and connection.renew is not None and not options.get("anon"):
        # Keys that are given would go before those that the session renews.
        options = {k: v for k, v in options.items() if k not in ("key", "secret", "token")}
        options["session"] = renewing_session(connection.renew)
    opened = S3FileSystem(**options, skip_instance_cache=True, use_listings_cache=False)
    # botocore retries, with the number of attempts that the connection may set; s3fs would repeat
    # all of them five times more.
    opened.retries = 1
    return opened


def _expect_kind(connection: Connection | None, kinds: tuple[str, ...], url: str) -> None:
    if connection is not None and connection.kind not in kinds:
        raise SpecificationError(
            f"{scheme_of(url)}:// locations need a connection of type {kinds[0]}, and "
            f"{connection.name!r} is of type {connection.kind!r}.",
            hint="Name another connection, or none.",
        )
