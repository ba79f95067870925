"""AWS connections: the amazon provider finds the credentials, the core gets them ready to use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_etl_provider.exceptions import CredentialsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Connection as AirflowConnection
    from botocore.credentials import Credentials

    from airflow_etl_provider.contracts.connection import Connection

__all__ = ["resolve_aws_connection"]

_ABOUT_LOGIN = (
    "assume_role_kwargs",
    "assume_role_method",
    "assume_role_with_saml",
    "assume_role_with_web_identity",
    "aws_access_key_id",
    "aws_secret_access_key",
    "external_id",
    "profile_name",
    "role_arn",
    "session_kwargs",
)
"""Keys of the extra field whose outcome is in the credentials."""


def resolve_aws_connection(connection: AirflowConnection) -> Connection:
    """Log in as the amazon provider does: keys, profile, role, web identity, instance role.

    :raises CredentialsError: they can't be had.
    """
    from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
    from botocore.exceptions import BotoCoreError, ClientError

    from airflow_etl_provider.hooks.connections import to_core_connection

    class Hook(AwsGenericHook[Any]):
        """The provider's hook over a connection that was looked up already."""

        @classmethod
        def get_connection(cls, conn_id: str) -> Any:  # noqa: ARG003 - there is only one
            return connection

    core = to_core_connection(connection)
    hook = Hook(aws_conn_id=connection.conn_id, client_type="s3")
    try:
        session = hook.get_session()
        credentials: Credentials | None = session.get_credentials()
        region = hook.region_name or session.region_name
    except (BotoCoreError, ClientError) as error:
        raise _refused(core.name, error) from error
    extra = {key: value for key, value in core.extra.items() if key not in _ABOUT_LOGIN}
    extra["region_name"] = region
    extra["verify"] = hook.verify
    if endpoint := hook.conn_config.get_service_endpoint_url("s3"):
        extra["endpoint_url"] = endpoint
    plain = replace(core, login=None, password=None, extra=extra)
    if credentials is None:
        return plain
    renew = _renewal(plain, credentials)
    return replace(renew(), renew=renew)


def _renewal(plain: Connection, credentials: Credentials) -> Callable[[], Connection]:
    """Those of a role are fetched again by botocore shortly before they expire."""
    from airflow.sdk.log import mask_secret
    from botocore.exceptions import BotoCoreError, ClientError

    masked: set[str] = set()

    def renew() -> Connection:
        try:
            frozen = credentials.get_frozen_credentials()
        except (BotoCoreError, ClientError) as error:
            raise _refused(plain.name, error) from error
        for secret in (frozen.secret_key, frozen.token):
            if secret and secret not in masked:
                masked.add(secret)
                mask_secret(secret)
        return replace(
            plain,
            login=frozen.access_key,
            password=frozen.secret_key,
            extra={**plain.extra, "aws_session_token": frozen.token},
        )

    return renew


def _refused(name: str, error: Exception) -> CredentialsError:
    from airflow_etl_provider.engines.storage import trouble_of

    return CredentialsError(
        f"The connection {name!r} gives no credentials: {trouble_of(error).words}.",
        hint="Check its keys, role and profile, and that this machine reaches AWS's token service.",
    )
