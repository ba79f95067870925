"""Tokens by which tasks are known to the API: short-lived, and signed with a secret of our own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt

from airflow_etl_provider.exceptions import SpecificationError

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "MIN_SECRET",
    "TaskClaims",
    "WrongTokenError",
    "check_secret",
    "read_token",
    "sign_token",
]

MIN_SECRET = 32
"""Characters that a secret has at least: HS256 is as strong as its key."""

_AUDIENCE = "airflow-etl-tasks"
_ISSUER = "airflow_etl_provider"
_ALGORITHM = "HS256"
_LEEWAY = timedelta(seconds=10)


class WrongTokenError(Exception):
    """It is no token of ours, or it holds no more."""


@dataclass(frozen=True, slots=True)
class TaskClaims:
    """Which task instance speaks."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    try_number: int = 1


def check_secret(secret: str) -> str:
    """Refuse a secret that can be guessed.

    :raises SpecificationError: it is too short.
    """
    if len(secret) < MIN_SECRET:
        raise SpecificationError(
            f"[etl] task_secret has {len(secret)} characters; it needs {MIN_SECRET} at least.",
            hint="Make one with `openssl rand -base64 48`, the same on API servers and workers, "
            "and other than [api_auth] jwt_secret.",
        )
    return secret


def sign_token(claims: TaskClaims, *, secret: str, now: datetime, lasts: timedelta) -> str:
    """Sign who a task is, for a while."""
    return jwt.encode(
        {
            "iss": _ISSUER,
            "aud": _AUDIENCE,
            "iat": now,
            "exp": now + lasts,
            "sub": f"{claims.dag_id}/{claims.run_id}/{claims.task_id}/{claims.map_index}",
            "dag_id": claims.dag_id,
            "run_id": claims.run_id,
            "task_id": claims.task_id,
            "map_index": claims.map_index,
            "try_number": claims.try_number,
        },
        check_secret(secret),
        algorithm=_ALGORITHM,
    )


def is_task_token(token: str) -> bool:
    """Whether it says that it is one; that says nothing of whether it holds."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return False
    return claims.get("iss") == _ISSUER


def read_token(token: str, *, secret: str) -> TaskClaims:
    """Read who speaks.

    :raises WrongTokenError: forged, expired, for somebody else, or none.
    """
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            check_secret(secret),
            algorithms=[_ALGORITHM],
            audience=_AUDIENCE,
            issuer=_ISSUER,
            leeway=_LEEWAY,
            options={"require": ["exp", "iat", "aud", "iss", "sub"]},
        )
        return TaskClaims(
            dag_id=str(claims["dag_id"]),
            run_id=str(claims["run_id"]),
            task_id=str(claims["task_id"]),
            map_index=int(claims["map_index"]),
            try_number=int(claims["try_number"]),
        )
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
        raise WrongTokenError("The token of the task is not valid, or holds no more.") from error
