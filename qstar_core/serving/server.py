"""A mixture behind a socket, until a signal ends it: what is on its way is finished first, for a while."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing

import uvicorn

from qstar_core.api import Mixture
from qstar_core.config import Settings
from qstar_core.engine.headroom import Headroom
from qstar_core.errors import ConfigError
from qstar_core.operations import ServeSettings
from qstar_core.serving.app import Endpoint
from qstar_core.serving.asking import Asking
from qstar_core.serving.http import is_local
from qstar_core.serving.line import Line, Mixing
from qstar_core.serving.worker import Worker
from qstar_core.stages.engines import engine_for

TOKEN = "QSTAR_SERVE_TOKEN"


def check_reach(settings: ServeSettings, token: str | None) -> None:
    """Before models are loaded."""
    if token is None and not is_local(settings.host):
        raise ConfigError(f"serve.host = {settings.host} can be reached by others, and {TOKEN} is not set",
                          "set it to the token that they have to send, or serve on 127.0.0.1")
    if token is not None and (not token.isascii() or not token.strip()):
        raise ConfigError(f"{TOKEN} is empty or not ASCII", "set it to a token that a header can hold, or unset it")


def serve(settings: Settings, token: str | None, listening: Callable[[str], None]) -> None:
    """`listening` is told the address once the models are loaded and the socket is open."""
    check_reach(settings.serve, token)
    with closing(_bound(settings.serve)) as bound:
        mixture = Mixture(student=settings.student, teacher=settings.teacher, alpha=settings.alpha,
                          prompts=settings.prompts, sampling=settings.sampling, support=settings.support,
                          engine=settings.engine)

        def engine_of(mixing: Mixing) -> Headroom:
            wanted = {"alpha": mixing.alpha, "sampling": mixing.sampling, "support": mixing.support}
            return engine_for(settings.model_copy(update=wanted), mixture.models, mixture.context)

        asking = Asking(mixture, settings.serve)
        warm = engine_of(asking.usual)
        warm.prepare()
        list(warm.generate(()))
        line = Line(settings.serve.max_waiting)
        endpoint = Endpoint(asking, line, Worker(engine_of, line), settings.serve, token)
        listening(_address(settings.serve.host, bound))
        uvicorn.Server(uvicorn.Config(
            endpoint.app(), log_level="warning", access_log=False, server_header=False, lifespan="on", ws="none",
            timeout_graceful_shutdown=settings.serve.shutdown_seconds)).run(sockets=[bound])


def _bound(settings: ServeSettings) -> socket.socket:
    try:
        family = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        raise ConfigError(f"{settings.host}:{settings.port} cannot be listened on: {error.strerror or error}",
                          "choose another serve.host or serve.port") from None


def _address(host: str, bound: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{bound.getsockname()[1]}/v1"
