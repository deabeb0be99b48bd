"""What the engine's worker does besides stepping: vLLM calls it by name, with plain data."""

from __future__ import annotations

from qstar_core.engine.vllm.hosts import host_named
from qstar_core.engine.vllm.launch import start
from qstar_core.engine.vllm.mixing import Mixing
from qstar_core.engine.vllm.order import MixOrder
from qstar_core.engine.vllm.student import Student
from qstar_core.records import JsonObject


class QstarWorker:
    """vLLM mixes these methods into its own worker class."""

    def qstar_open(self, name: str, student: JsonObject) -> None:
        """Start the student inside of this worker."""
        host = host_named(name)
        host.student = Student(start(student), host.told)

    def qstar_order(self, name: str, order: str) -> None:
        """Mix in this way from now on."""
        host_named(name).mixing = Mixing(MixOrder.model_validate_json(order))

    def qstar_collect(self, name: str, requests: list[str]) -> tuple[dict[str, tuple[int, bytes]], str | None]:
        """What was told about requests that ended, and what went wrong."""
        host = host_named(name)
        return host.told.take(requests), host.error

    def qstar_rest(self, name: str) -> None:
        """No request is open any more."""
        host = host_named(name)
        if host.student is not None:
            host.student.rest()
        host.told.clear()
        host.error = None

    def qstar_forget_cache(self, name: str) -> None:
        student = host_named(name).student
        if student is not None:
            student.forget_cache()

    def qstar_drop_adapter(self, name: str, number: int) -> None:
        student = host_named(name).student
        if student is not None:
            student.drop_adapter(number)
