"""An S3 server that can be told to misbehave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.storage.proxy import Proxy, unreliable

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def proxy(s3_server) -> Iterator[Proxy]:
    with unreliable(s3_server.endpoint) as proxy:
        yield proxy


@pytest.fixture
def lake(s3_server, proxy):
    """Finds any connection: the server through the proxy."""
    return lambda name: s3_server.connection(name, endpoint_url=proxy.endpoint)
