"""What s3fs is told of a connection: keys, region, endpoint, retries, and how to stay logged in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiobotocore.session import AioSession

    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["renewing_session", "s3_options"]

CONFIG: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 5},
    "connect_timeout": 10,
    "read_timeout": 60,
    "max_pool_connections": 16,
}
"""Five attempts wait some eight seconds in all; `config_kwargs` of the connection may say more."""

NEEDS_PROVIDER = ("role_arn", "assume_role_method", "assume_role_with_saml")
"""Keys of an AWS connection that only the amazon provider makes credentials of."""


def s3_options(connection: Connection | None) -> dict[str, Any]:
    """Arguments of `S3FileSystem`.

    :raises SpecificationError: the connection asks for what can't be told to it.
    """
    if connection is None:
        return {"config_kwargs": dict(CONFIG)}
    extra = connection.extra
    left = [key for key in NEEDS_PROVIDER if extra.get(key)]
    if left:
        raise SpecificationError(
            f"Connection {connection.name!r} has {left[0]!r}, which needs Airflow's amazon "
            "provider to be resolved.",
            hint="Use it in a task, or set credentials or a profile.",
        )
    given = _mapping(connection, "config_kwargs")
    config = {**CONFIG, **given}
    if "max_attempts" in (given.get("retries") or {}):
        # botocore's older word for the attempts after the first; the other would go before it.
        config["retries"] = {"mode": "standard", **given["retries"]}
    elif given.get("retries"):
        config["retries"] = {**CONFIG["retries"], **given["retries"]}
    if str(config.get("signature_version", "")).lower() == "unsigned":
        del config["signature_version"]
        return {"anon": True, "config_kwargs": config, **_place(connection)}
    options = {
        "key": connection.login or extra.get("aws_access_key_id"),
        "secret": connection.password or extra.get("aws_secret_access_key"),
        "token": extra.get("aws_session_token"),
        "config_kwargs": config,
        **_place(connection),
    }
    if not options["key"] and extra.get("profile_name"):
        options["profile"] = extra["profile_name"]
    return {name: value for name, value in options.items() if value is not None}


def _place(connection: Connection) -> dict[str, Any]:
    """Where the store is, and how its certificate is checked."""
    extra = connection.extra
    service = _mapping(connection, "service_config").get("s3") or {}
    endpoint = service.get("endpoint_url") or extra.get("endpoint_url")
    client = {key: extra[key] for key in ("region_name", "verify") if extra.get(key) is not None}
    place: dict[str, Any] = {"client_kwargs": client}
    if endpoint:
        place["endpoint_url"] = endpoint
    return place


def _mapping(connection: Connection, key: str) -> dict[str, Any]:
    value = connection.extra.get(key) or {}
    if not isinstance(value, dict):
        raise SpecificationError(
            f"{key!r} in the extra field of connection {connection.name!r} is not an object.",
            hint='Write it as {"key": "value"}.',
        )
    return value


def renewing_session(renew: Callable[[], Connection]) -> AioSession:
    """A session that asks for its credentials before each request, since those of roles expire.

    :param renew: gives a connection with credentials that still hold; cheap while they do.
    """
    from aiobotocore.credentials import AioCredentials
    from aiobotocore.session import AioSession
    from botocore.credentials import ReadOnlyCredentials

    class Renewed(AioCredentials):  # type: ignore[misc]
        async def get_frozen_credentials(self) -> ReadOnlyCredentials:
            # It may ask a service and wait; the loop serves every other request meanwhile.
            fresh = await asyncio.to_thread(renew)
            return ReadOnlyCredentials(
                fresh.login, fresh.password, fresh.extra.get("aws_session_token")
            )

    class Resolver:
        async def load_credentials(self) -> Renewed:
            first = await asyncio.to_thread(renew)
            return Renewed(first.login, first.password, first.extra.get("aws_session_token"))

    session = AioSession()
    session.register_component("credential_provider", Resolver())
    return session
