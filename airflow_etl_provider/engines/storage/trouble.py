"""What went wrong with a store, in one word and one sentence, whatever library it comes from."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Literal

__all__ = ["Trouble", "TroubleKind", "trouble_of"]

TroubleKind = Literal["missing", "refused", "login", "changed", "full", "unavailable", "other"]

_LOGIN_CODES = {
    "ExpiredToken": "the session token has expired",
    "InvalidAccessKeyId": "the access key is not known",
    "InvalidToken": "the session token is not valid",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "RequestTimeTooSkewed": "the clocks differ too much",
    "AuthorizationHeaderMalformed": "the region or the access key is wrong",
}

_CODES: dict[str, tuple[TroubleKind, str]] = {
    "AccessDenied": ("refused", "access is denied"),
    "AllAccessDisabled": ("refused", "access is denied"),
    "InvalidObjectState": ("refused", "the object is archived and must be restored first"),
    "403": ("refused", "access is denied"),
    "NoSuchBucket": ("missing", "the bucket does not exist"),
    "NoSuchKey": ("missing", "the object does not exist"),
    "NoSuchVersion": ("missing", "the version of the object does not exist"),
    "NoSuchUpload": ("missing", "the upload was removed meanwhile"),
    "404": ("missing", "there is no such bucket or object"),
    "PreconditionFailed": ("changed", "another writer was there meanwhile"),
    "ConditionalRequestConflict": ("changed", "another writer was there meanwhile"),
    "InvalidRange": ("changed", "it is shorter than it was"),
    "416": ("changed", "it is shorter than it was"),
    "412": ("changed", "another writer was there meanwhile"),
    "InternalError": ("unavailable", "the store answers with an internal error"),
    "ServiceUnavailable": ("unavailable", "the store is not available"),
    "SlowDown": ("unavailable", "the store asks for fewer requests"),
    "RequestTimeout": ("unavailable", "the store gave up waiting"),
    "PermanentRedirect": ("other", "the bucket is in another region"),
    "301": ("other", "the bucket is in another region"),
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """A kind to act on, and words that end a sentence. Nothing of a row or a secret is in them."""

    kind: TroubleKind
    words: str

    @property
    def hint(self) -> str | None:
        return _HINTS.get(self.kind)


_HINTS: dict[TroubleKind, str] = {
    "missing": "Check the name of the bucket and the key.",
    "refused": "Give the role or user of the connection the right to it.",
    "login": "Check keys, token, region and role of the connection.",
    "unavailable": "Try again later; attempts and time-outs are set under `config_kwargs` in the "
    "connection's extra.",
    "full": "Make room there.",
}


def trouble_of(error: BaseException) -> Trouble:
    """Explain what fsspec, botocore or the operating system raised.

    s3fs makes an `OSError` of an answer that is an error, and keeps that answer as its cause.
    """
    seen: BaseException | None = error
    while seen is not None:
        code = _code_of(seen)
        if code is not None:
            return _of_code(code, _status_of(seen))
        seen = seen.__cause__
    kind = _kind_of_client(error)
    if kind is not None:
        return kind
    if isinstance(error, OSError):
        return _of_system(error)
    return Trouble("other", type(error).__name__)


def _code_of(error: BaseException) -> str | None:
    answer = getattr(error, "response", None)
    if not isinstance(answer, dict):
        return None
    return str((answer.get("Error") or {}).get("Code") or "") or str(_status_of(error) or "")


def _status_of(error: BaseException) -> int:
    answer = getattr(error, "response", None) or {}
    return int((answer.get("ResponseMetadata") or {}).get("HTTPStatusCode") or 0)


def _of_code(code: str, status: int) -> Trouble:
    if code in _LOGIN_CODES:
        return Trouble("login", f"{_LOGIN_CODES[code]} ({code})")
    known = _CODES.get(code) or _CODES.get(str(status))
    if known is not None:
        return Trouble(known[0], f"{known[1]} ({code})")
    if status >= 500:
        return Trouble("unavailable", f"the store answers with status {status} ({code})")
    return Trouble("other", f"the store answers with {code}")


def _kind_of_client(error: BaseException) -> Trouble | None:
    """What the client itself noticed, before or without an answer."""
    try:
        from botocore import exceptions as client
    except ModuleNotFoundError:  # pragma: no cover - a dependency of s3fs
        return None
    if isinstance(error, client.NoCredentialsError | client.PartialCredentialsError):
        return Trouble("login", "there are no credentials")
    if isinstance(error, client.CredentialRetrievalError | client.ProfileNotFound):
        return Trouble("login", f"no credentials can be had ({type(error).__name__})")
    if isinstance(error, client.ParamValidationError):
        return Trouble("other", "the name of the bucket or the key is not allowed")
    if isinstance(error, client.HTTPClientError | client.ConnectionError):
        return Trouble("unavailable", f"the connection failed ({type(error).__name__})")
    if isinstance(error, client.BotoCoreError):
        return Trouble("other", type(error).__name__)
    if type(error).__module__.partition(".")[0] == "aiohttp":
        return Trouble("unavailable", f"the connection broke off ({type(error).__name__})")
    return None


def _of_system(error: OSError) -> Trouble:
    if isinstance(error, FileNotFoundError):
        return Trouble("missing", "it does not exist")
    if isinstance(error, PermissionError):
        return Trouble("refused", "access is denied")
    if isinstance(error, FileExistsError):
        return Trouble("changed", "another writer was there meanwhile")
    if isinstance(error, TimeoutError | ConnectionError):
        return Trouble("unavailable", f"the connection broke off ({type(error).__name__})")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Trouble("full", "no space is left")
    return Trouble("other", os.strerror(error.errno) if error.errno else type(error).__name__)
