"""Who asks, and what they may: people by Airflow's login, tasks by their token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import get_user
from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from airflow_etl_provider.api.limits import Buckets
from airflow_etl_provider.exceptions import SpecificationError
from airflow_etl_provider.metadata.http.task_token import (
    TaskClaims,
    WrongTokenError,
    is_task_token,
    read_token,
)

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser

__all__ = ["PERSONAL_DATA", "Asker", "AskerDep", "PersonDep", "ReaderDep", "TaskDep"]

PERSONAL_DATA = "ETL Personal Data"
"""The resource that a role must be allowed to read, where the auth manager knows resources."""

bearer = HTTPBearer(
    auto_error=False,
    description="A user's token from Airflow's `POST /auth/token`, or a task's token.",
)


@dataclass
class Asker:
    """A person or a task; exactly one of the two."""

    user: BaseUser | None = None
    task: TaskClaims | None = None

    @property
    def name(self) -> str:
        """As decisions name who made them."""
        if self.task is not None:
            return f"task {self.task.dag_id}/{self.task.task_id}"
        return str(self.user.get_name()) if self.user is not None else "?"

    @cached_property
    def dag_ids(self) -> frozenset[str] | None:
        """The DAGs that may be read; None is all of them, and what belongs to none."""
        if self.task is not None or self._may_dag("GET", None):
            return None
        return frozenset(get_auth_manager().get_authorized_dag_ids(user=self.user, method="GET"))

    def may_read(self, dag_id: str | None) -> bool:
        """Whether what belongs to a DAG, or to none, may be read."""
        if self.dag_ids is None:
            return True
        return dag_id is not None and dag_id in self.dag_ids

    def may_edit(self, dag_id: str | None) -> bool:
        """Whether contracts of a DAG's pipeline may be decided; a task never may."""
        return self.task is None and self._may_dag("PUT", dag_id)

    def may_configure(self) -> bool:
        """Whether the settings of agents may be changed."""
        return self.user is not None and bool(
            get_auth_manager().is_authorized_configuration(method="PUT", user=self.user)
        )

    def may_see_personal_data(self) -> bool:
        """Whether values of personal columns may be seen; editing a DAG does not include it."""
        from airflow_etl_provider.api.configuration import personal_data_readers

        if self.user is None:
            return False
        if self.user.get_name() in personal_data_readers():
            return True
        manager = get_auth_manager()
        if type(manager).is_authorized_custom_view.__qualname__.startswith("SimpleAuthManager."):
            # It allows every custom view to everybody.
            return False
        return bool(
            manager.is_authorized_custom_view(
                method="GET", resource_name=PERSONAL_DATA, user=self.user
            )
        )

    def _may_dag(self, method: Any, dag_id: str | None) -> bool:
        details = None if dag_id is None else DagDetails(id=dag_id, team_name=_team_of(dag_id))
        return bool(
            get_auth_manager().is_authorized_dag(method=method, details=details, user=self.user)
        )


def _team_of(dag_id: str) -> str | None:
    from airflow.models.dag import DagModel

    return DagModel.get_team_name(dag_id)


async def asker(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)] = None,
) -> Asker:
    """Find out who asks.

    :raises HTTPException: 401 for nobody, and for a token that is none; 429 for too many requests.
    """
    try:
        found = await _known(request, credentials)
    except HTTPException:
        # Nobody in particular: told apart by where they are, whatever tokens they make up.
        _take_turn(f"nobody at {request.client.host if request.client else '?'}")
        raise
    # By name and not by token: a task signs a new one for each request.
    _take_turn(found.name)
    return found


async def _known(request: Request, credentials: HTTPAuthorizationCredentials | None) -> Asker:
    if credentials is not None and is_task_token(credentials.credentials):
        return Asker(task=_task(credentials.credentials))
    try:
        return Asker(user=await get_user(request, None, credentials))
    except HTTPException as error:
        # Airflow answers 403 to a forged token; whoever has none that holds is nobody here.
        raise HTTPException(401, "Log in to Airflow, or send a token.") from error


def _take_turn(name: str) -> None:
    """Count a request.

    :raises HTTPException: 429, with when to go on.
    """
    wait = _buckets().wait(name)
    if wait > 0:
        raise HTTPException(429, "Too many requests.", headers={"Retry-After": str(int(wait) + 1)})


@cache
def _buckets() -> Buckets:
    from airflow_etl_provider.api.configuration import rate_limit

    return Buckets(rate_limit())


def _task(token: str) -> TaskClaims:
    from airflow_etl_provider.api.configuration import task_secret

    secret = task_secret()
    if secret is None:
        raise HTTPException(401, "This deployment knows no tokens of tasks: [etl] task_secret.")
    try:
        return read_token(token, secret=secret)
    except WrongTokenError as error:
        raise HTTPException(401, str(error)) from error
    except SpecificationError as error:
        raise HTTPException(401, "[etl] task_secret of this API server can't be used.") from error


AskerDep = Annotated[Asker, Depends(asker)]


def reader(found: AskerDep) -> Asker:
    """Whoever may read at least one DAG.

    :raises HTTPException: 403.
    """
    if found.dag_ids is not None and not found.dag_ids:
        raise HTTPException(403, "Reading needs access to DAGs.")
    return found


def person(found: AskerDep) -> Asker:
    """A person who is logged in.

    :raises HTTPException: 403 for a task.
    """
    if found.task is not None:
        raise HTTPException(403, "A task may record and read; decisions are made by people.")
    return found


def task(found: AskerDep) -> Asker:
    """A task.

    :raises HTTPException: 403 for a person.
    """
    if found.task is None:
        raise HTTPException(403, "This is for tasks; people decide, and record nothing.")
    return found


ReaderDep = Annotated[Asker, Depends(reader)]
PersonDep = Annotated[Asker, Depends(person)]
TaskDep = Annotated[Asker, Depends(task)]
