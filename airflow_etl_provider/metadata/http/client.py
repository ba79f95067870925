"""Requests to the API, and its errors in our words."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Any

import httpx

from airflow_etl_provider.exceptions import (
    EditConflictError,
    EventError,
    MetadataError,
    MetadataSchemaError,
    MetadataUnavailableError,
    SpecificationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_etl_provider.exceptions import EtlError

__all__ = ["Client"]

log = logging.getLogger(__name__)

_PAUSES = (0.2, 0.6, 1.5)
"""Seconds between attempts, where the API server asks for no others."""

_LONGEST_PAUSE = 10.0

_AGAIN = frozenset((429, 502, 503, 504))

_ERRORS: dict[str, type[EtlError]] = {
    "edit_conflict": EditConflictError,
    "metadata_schema": MetadataSchemaError,
    "metadata_unavailable": MetadataUnavailableError,
    "bad_event": EventError,
    "bad_specification": SpecificationError,
    "invalid": SpecificationError,
}


class Client:
    """One API server; asks again when it is away, since every request here may be repeated.

    :param url: of the API: `https://airflow.internal/etl/api/v1`.
    :param token: gives a token that holds; asked again when one is refused.
    :param timeout: seconds that one request may take.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Callable[[], str],
        timeout: float = 15.0,
        verify: Any = True,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.url = url.rstrip("/")
        self._token = token
        self._sleep = sleep
        self._http = httpx.Client(
            timeout=timeout, verify=verify, headers={"User-Agent": "airflow_etl_provider"}
        )

    def __repr__(self) -> str:
        return f"Client({self.url!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """Send one request and return the JSON of the answer; None where there is none.

        :raises MetadataUnavailableError: the API server is away.
        :raises EtlError: it refused, in the words and of the kind that it gave.
        """
        answer = self._send(method, path, query=query, body=body, headers=headers)
        if answer.status_code == 204:
            return None
        if answer.is_success:
            try:
                return answer.json()
            except ValueError as error:
                raise MetadataUnavailableError(
                    f"What answers at {self.url} is not the API: no JSON came back."
                ) from error
        raise self._error(answer, path)

    def _send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        last: Exception | None = None
        for pause in (*_PAUSES, None):
            try:
                answer = self._http.request(
                    method,
                    f"{self.url}{path}",
                    params=parts["query"],
                    json=parts["body"],
                    headers={
                        "Authorization": f"Bearer {self._token()}",
                        **(parts["headers"] or {}),
                    },
                )
            except httpx.HTTPError as error:
                last = error
                wait = pause
            else:
                if answer.status_code not in _AGAIN or pause is None:
                    return answer
                wait = _asked_pause(answer) or pause
            if pause is None or wait is None:
                break
            self._sleep(wait * random.uniform(0.8, 1.2))  # noqa: S311 - so that workers do not ask at once
        raise MetadataUnavailableError(
            f"The API at {self.url} can't be reached now ({type(last).__name__}).",
            hint="`airflow-etl metadata doctor` says more.",
        ) from last

    def _error(self, answer: httpx.Response, path: str) -> EtlError:
        try:
            content = answer.json()
            code, message = str(content["code"]), str(content["message"])
            faults = [f"{one['field']}: {one['message']}" for one in content.get("errors") or ()]
        except (ValueError, KeyError, TypeError):
            code, message, faults = "", f"HTTP {answer.status_code} for {path}", []
            content = {}
        words = " ".join([message, *faults])
        kind = _ERRORS.get(code)
        if kind is None:
            kind = MetadataUnavailableError if answer.status_code >= 500 else MetadataError
            words = f"The API at {self.url} refused: {words}"
        if kind is MetadataError:
            return MetadataError(words, hint=content.get("hint"), missing=answer.status_code == 404)
        return kind(words, hint=content.get("hint"))


def _asked_pause(answer: httpx.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_PAUSE) if text.isdigit() else None
