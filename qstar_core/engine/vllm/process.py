"""A server in a process of its own: what is asked of it goes through a pipe, and a process that ends is one error.

vLLM's own engine process is not used: its synchronous client waits for ever for the answer of one that was killed.
"""

from __future__ import annotations

import atexit
import multiprocessing
import signal
from collections.abc import Collection
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from qstar_core.config import EngineSettings
from qstar_core.engine.vllm.adapters import Adapter
from qstar_core.engine.vllm.layout import Layout, Weights
from qstar_core.engine.vllm.memory import Plan
from qstar_core.engine.vllm.order import MixOrder
from qstar_core.engine.vllm.server import Server, Taken, Told, replaced
from qstar_core.errors import EngineError, QstarError
from qstar_core.records import JsonObject, ModelRef

_GRACE = 5.0


class Running(Protocol):
    """A server, here or elsewhere. `server.Server` says what the methods do."""

    paired: bool
    memory: Plan

    @property
    def closed(self) -> bool: ...

    def adapter(self, student: ModelRef, busy: Collection[int]) -> Adapter | None: ...

    def order(self, order: MixOrder) -> None: ...

    def add(self, request: str, ids: list[int], params: JsonObject, adapter: Adapter | None = None) -> None: ...

    def step(self) -> list[Taken]: ...

    def abort(self, requests: list[str]) -> None: ...

    def collect(self, requests: list[str]) -> dict[str, Told]: ...

    def rest(self) -> None: ...

    def close(self) -> None: ...


class OwnProcess:
    """Its files on the disk are removed here, so that none are left of a process that was killed."""

    def __init__(self, weights: Weights, context: int, settings: EngineSettings, lora_rank: int) -> None:
        self.paired = weights.layout is Layout.PAIRED
        self._calls = 0
        self._scratch = TemporaryDirectory(prefix="qstar-vllm-")
        spawn = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve, name="qstar-vllm", daemon=True,
                                      args=(theirs, weights, context, settings, lora_rank, Path(self._scratch.name)))
        self._process.start()
        theirs.close()
        atexit.register(self.close)
        try:
            self.memory: Plan = self._answer(0)
        except BaseException:  # an interrupt too
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def closed(self) -> bool:
        return not self._process.is_alive()

    def adapter(self, student: ModelRef, busy: Collection[int]) -> Adapter | None:
        adapter: Adapter | None = self._ask("adapter", student, busy)
        return adapter

    def order(self, order: MixOrder) -> None:
        self._ask("order", order)

    def add(self, request: str, ids: list[int], params: JsonObject, adapter: Adapter | None = None) -> None:
        self._ask("add", request, ids, params, adapter)

    def step(self) -> list[Taken]:
        taken: list[Taken] = self._ask("step")
        return taken

    def abort(self, requests: list[str]) -> None:
        self._ask("abort", requests)

    def collect(self, requests: list[str]) -> dict[str, Told]:
        told: dict[str, Told] = self._ask("collect", requests)
        return told

    def rest(self) -> None:
        self._ask("rest")

    def close(self) -> None:
        atexit.unregister(self.close)
        self._pipe.close()
        self._process.terminate()
        self._process.join(_GRACE)
        self._process.kill()
        self._process.join()
        self._scratch.cleanup()

    def _ask(self, method: str, *args: object) -> Any:
        self._calls += 1
        try:
            self._pipe.send((self._calls, method, args))
        except OSError as error:
            raise self._ended() from error
        return self._answer(self._calls)

    def _answer(self, number: int) -> Any:
        """An earlier answer may still be on its way, where its asker was interrupted."""
        try:
            while True:
                answered, value = self._pipe.recv()
                if answered == number:
                    break
        except (EOFError, OSError) as error:
            raise self._ended() from error
        if isinstance(value, QstarError):
            raise value
        return value

    def _ended(self) -> EngineError:
        if self._pipe.closed:
            return replaced()
        self._process.join(_GRACE)
        return EngineError(f"the process of vLLM ended with code {self._process.exitcode}",
                           "its last lines are above; run again to go on where it stopped")


def _serve(pipe: Connection, weights: Weights, context: int, settings: EngineSettings, lora_rank: int,
           scratch: Path) -> None:
    """The other end. An interrupt is for the process that asks; when that one is gone, the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        server = Server(weights, context, settings, lora_rank, scratch)
    except QstarError as error:
        pipe.send((0, error))
        return
    pipe.send((0, server.memory))
    while True:
        try:
            number, method, args = pipe.recv()
            pipe.send((number, _done(server, method, args)))
        except (EOFError, OSError):
            return


def _done(server: Server, method: str, args: tuple[object, ...]) -> object:
    try:
        return getattr(server, method)(*args)
    except QstarError as error:
        return error
