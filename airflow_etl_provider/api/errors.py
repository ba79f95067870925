"""Errors as answers: one shape for all, and no internal word in any."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from airflow_etl_provider.exceptions import (
    EditConflictError,
    EtlError,
    EventError,
    MetadataSchemaError,
    MetadataUnavailableError,
    SpecificationError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["add_error_handlers", "not_found"]

log = logging.getLogger(__name__)

_STATUS: tuple[tuple[type[EtlError], int], ...] = (
    (EditConflictError, 412),
    (MetadataUnavailableError, 503),
    (MetadataSchemaError, 503),
    (SpecificationError, 422),
    (EventError, 422),
    (EtlError, 400),
)

_CODES = {
    400: "bad_request",
    401: "not_logged_in",
    403: "not_allowed",
    404: "not_found",
    405: "no_such_method",
    412: "edit_conflict",
    413: "too_large",
    422: "invalid",
    428: "etag_needed",
    429: "too_many_requests",
}


def not_found(what: str) -> HTTPException:
    """There is none, or none that the asker may see: both look alike."""
    return HTTPException(404, f"There is no {what}.")


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in one shape."""

    @app.exception_handler(EtlError)
    async def etl(_request: Request, error: EtlError) -> JSONResponse:
        status = next(status for kind, status in _STATUS if isinstance(error, kind))
        return _answer(status, error.code, error.message, hint=error.hint)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        # What was sent is not repeated: it may be a value that belongs nowhere else.
        found = [
            {
                "field": ".".join(str(part) for part in one["loc"][1:]) or "body",
                "message": one["msg"],
            }
            for one in error.errors()
        ]
        return _answer(422, "invalid", "The request is not valid.", errors=found)

    @app.exception_handler(HTTPException)
    async def http(_request: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "error")
        answer = _answer(error.status_code, code, str(error.detail))
        answer.headers.update(error.headers or {})
        if error.status_code == 401:
            answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    @app.exception_handler(Exception)
    async def unexpected(_request: Request, error: Exception) -> JSONResponse:
        log.error("a request failed", exc_info=error)
        return _answer(500, "internal_error", "The request failed; the API server's log says why.")


def _answer(
    status: int,
    code: str,
    message: str,
    *,
    hint: str | None = None,
    errors: Sequence[dict[str, Any]] = (),
) -> JSONResponse:
    return JSONResponse(
        {"code": code, "message": message, "hint": hint, "errors": list(errors)},
        status_code=status,
    )
