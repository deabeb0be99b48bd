"""A bad network in front of a real S3 server: an HTTP proxy on a port of its own that follows a script of faults.

A script looks at a request and names the fault that strikes it, or None. It sees the request's number, method, key and
how often the same request came before, so that one script always strikes the same requests, however threads race.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit


class Fault(Enum):
    """What happens to a request. The server carries out those from `LOST` on, and the two slow ones."""

    RESET = "the connection is reset before the server sees the request"
    CUT_REQUEST = "the server sees half of the request"
    FLIP_REQUEST = "one bit of the request's body is flipped"
    SLOW_REQUEST = "the request's body comes in small pieces"
    SILENT = "no answer ever"
    E500 = "500 InternalError"
    E503 = "503 SlowDown"
    EXPIRED = "400 ExpiredToken"
    LOST = "the server does it, and its answer is lost"
    CUT_ANSWER = "half of the answer's body arrives"
    FLIP_ANSWER = "one bit of the answer's body is flipped"
    SLOW_ANSWER = "the answer's body comes in small pieces"
    STALL_ANSWER = "half of the answer's body arrives, and the connection stays open"


PASSING = (Fault.RESET, Fault.CUT_REQUEST, Fault.E500, Fault.E503, Fault.LOST, Fault.CUT_ANSWER)
_ERRORS = {Fault.E500: (500, "InternalError"), Fault.E503: (503, "SlowDown"), Fault.EXPIRED: (400, "ExpiredToken")}
_PIECES, _PAUSE_S = 8, 0.05


@dataclass(frozen=True, slots=True)
class Request:
    """`count` is how many requests of this method, key and query came before."""

    number: int
    method: str
    key: str
    query: str
    count: int


Script = Callable[[Request], Fault | None]


def never(_: Request) -> None:
    """No fault."""


def first(fault: Fault, *words: str, times: int = 1) -> Script:
    """The first `times` requests whose method, key and query hold all of the words."""
    left = threading.Semaphore(times)

    def strike(request: Request) -> Fault | None:
        text = f"{request.method} {request.key}?{request.query}"
        return fault if all(word in text for word in words) and left.acquire(blocking=False) else None

    return strike


def always(fault: Fault, *words: str) -> Script:
    return first(fault, *words, times=1_000_000)


def at(number: int, fault: Fault) -> Script:
    """The request of that number, and all later ones: who was struck is gone."""
    return lambda request: fault if request.number == number else Fault.RESET if request.number > number else None


def share(rate: float, seed: int, faults: Sequence[Fault] = PASSING) -> Script:
    """That share of all requests, chosen by a hash of the request and the seed."""

    def strike(request: Request) -> Fault | None:
        text = f"{seed} {request.method} {request.key} {request.query} {request.count}"
        draw = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        return faults[draw % len(faults)] if (draw >> 16) / 2**48 < rate else None

    return strike


class FaultProxy(ThreadingHTTPServer):
    """`on_fault` is called as a fault strikes: before the server, half-way, or after it, as the fault says."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, endpoint_url: str, script: Script = never,
                 on_fault: Callable[[Request], None] = lambda _: None) -> None:
        super().__init__(("127.0.0.1", 0), _Relay)
        self.upstream = urlsplit(endpoint_url).netloc
        self.script, self.on_fault = script, on_fault
        self.closing = threading.Event()
        self.seen: list[tuple[Request, Fault | None]] = []
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._numbering = threading.Lock()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def endpoint_url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def struck(self) -> list[Request]:
        return [request for request, fault in self.seen if fault is not None]

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()

    def judge(self, method: str, target: str) -> tuple[Request, Fault | None]:
        parts = urlsplit(target)
        key = unquote(parts.path).removeprefix("/").partition("/")[2]
        with self._numbering:
            name = (method, key, parts.query)
            request = Request(len(self.seen), method, key, parts.query, self._counts[name])
            fault = self.script(request)
            self._counts[name] += 1
            self.seen.append((request, fault))
        return request, fault

    def shutdown_request(self, request: Any) -> None:
        """Without the polite FIN, which would come before a reset."""
        self.close_request(request)

    def handle_error(self, *_: object) -> None:
        """A client that is gone is what this proxy is for."""


class _Relay(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultProxy

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request, fault = self.server.judge(self.command, self.path)
        with contextlib.ExitStack() as struck:
            if fault is not None:
                # the process that `on_fault` kills must not hear of an answer before
                struck.callback(self.server.on_fault, request)
            if fault in _ERRORS:
                self._refuse(*_ERRORS[fault])
            elif fault is Fault.SILENT:
                self.server.closing.wait()
                self._reset()
            elif fault is Fault.RESET:
                self._reset()
            else:
                self._forward(body, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = relay

    def _forward(self, body: bytes, fault: Fault | None) -> None:
        server = HTTPConnection(self.server.upstream, timeout=60)
        try:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":  # answered here
                    server.putheader(name, value)
            server.endheaders()
            if fault is Fault.CUT_REQUEST:
                server.send(body[:len(body) // 2])
                self._reset()
                return
            for piece in _pieces(_flipped(body) if fault is Fault.FLIP_REQUEST else body, fault is Fault.SLOW_REQUEST):
                server.send(piece)
            answer = server.getresponse()
            self._answer(answer.status, answer.getheaders(), answer.read(), fault)
        except (OSError, HTTPException):
            self._reset()
        finally:
            server.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, fault: Fault | None) -> None:
        if fault is Fault.LOST:
            self._reset()
            return
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = {name.lower(): value for name, value in headers}.get("content-length", "0")
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if fault in (Fault.CUT_ANSWER, Fault.STALL_ANSWER):
            self.wfile.write(body[:len(body) // 2])
            if fault is Fault.STALL_ANSWER:
                self.server.closing.wait()
            self.close_connection = True
            return
        for piece in _pieces(_flipped(body) if fault is Fault.FLIP_ANSWER else body, fault is Fault.SLOW_ANSWER):
            self.wfile.write(piece)

    def _refuse(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>from the proxy</Message></Error>".encode()
        self._answer(status, [("Content-Type", "application/xml")], b"" if self.command == "HEAD" else text, None)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Silent: the tests read `seen`."""


def _pieces(body: bytes, slow: bool) -> Iterator[bytes]:
    if not slow:
        yield body
        return
    size = -(-len(body) // _PIECES) or 1
    for start in range(0, len(body), size):
        time.sleep(_PAUSE_S)
        yield body[start:start + size]


def _flipped(body: bytes) -> bytes:
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1:] if body else body
