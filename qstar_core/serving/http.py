"""What stands between a socket and the endpoint: who may ask, how much may be sent, and how errors look."""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qstar_core.errors import QstarError
from qstar_core.serving.line import FullError
from qstar_core.serving.options import RefusedError

Handler = Callable[[Request], Awaitable[Response]]
_KINDS = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def is_local(host: str) -> bool:
    """Whether a host's name is this machine's own, whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fault(status: int, line: str, field: str | None = None, code: str | None = None) -> JSONResponse:
    """An error in OpenAI's form."""
    headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "5"}}.get(status)
    return JSONResponse(error_object(status, line, field, code), status, headers)


def error_object(status: int, line: str, field: str | None = None, code: str | None = None) -> dict[str, object]:
    kind = _KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": _writable(line), "type": kind, "param": field and _writable(field), "code": code}}


def _writable(text: str) -> str:
    """Names in a request may hold half of a surrogate pair, which no answer can."""
    return text.encode(errors="backslashreplace").decode()


def fault_of(error: QstarError) -> JSONResponse:
    if isinstance(error, RefusedError):
        return fault(404 if error.field == "model" else 400, str(error), error.field,
                     "model_not_found" if error.field == "model" else None)
    return fault(429 if isinstance(error, FullError) else 500, str(error))


async def http_fault(_: Request, error: Exception) -> Response:
    """What starlette refuses: paths and methods that are not there."""
    assert isinstance(error, HTTPException)
    return fault(error.status_code, str(error.detail))


async def bug(_: Request, error: Exception) -> Response:
    """The trace is in the log."""
    return fault(500, f"unexpected {type(error).__name__}, a bug")


def guarded(handler: Handler, token: str | None) -> Handler:
    """Only for those who know the token. Where there is none, only for those who ask this machine by its own name: a
    page in a browser can have another name mean this machine."""

    async def checked(request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if token is None and not is_local(request.url.hostname or ""):
            return fault(403, "without a token only this machine may ask, by its own name")
        if token is not None and not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return fault(401, "the bearer token is missing or wrong", code="invalid_api_key")
        try:
            return await handler(request)
        except QstarError as error:
            return fault_of(error)

    return checked


async def body_of(request: Request, limit: int) -> bytes:
    """JSON alone: a page of another site could send anything else from a browser."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "the content type is not application/json")
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise HTTPException(413, f"the body is larger than serve.max_request_kib, {limit // 1024} KiB")
        parts.append(part)
    return b"".join(parts)


def event(value: object) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False, allow_nan=False)}\n\n"
