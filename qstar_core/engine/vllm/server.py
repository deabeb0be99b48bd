"""A running vLLM in this process: the teacher's engine, with the student in it or inside its worker.

Contract: whatever vLLM raises leaves here as an EngineError, and the server that raised it is not used again.
"""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qstar_core.config import EngineSettings
from qstar_core.engine.headroom import is_out_of_memory
from qstar_core.engine.hf import first_line
from qstar_core.engine.vllm import adapters
from qstar_core.engine.vllm.adapters import Adapter, Shelf
from qstar_core.engine.vllm.budget import free_memory, planned, precision, resumable, step_budget
from qstar_core.engine.vllm.checkpoint import loadable, loadable_adapter
from qstar_core.engine.vllm.hosts import KEY, forget
from qstar_core.engine.vllm.installed import check_installed, prepare_environment
from qstar_core.engine.vllm.launch import arguments, start
from qstar_core.engine.vllm.layout import Layout, Weights
from qstar_core.engine.vllm.order import MixOrder
from qstar_core.errors import ConfigError, EngineError, NoMemoryError
from qstar_core.records import JsonObject, ModelRef

_HERE = "qstar_core.engine.vllm"
_NAMES = count()
_GRACE = 1.0  # seconds; nothing is left to be saved when a server is closed
Taken = tuple[str, list[int], bool]
"""Request, new tokens, and whether it ended."""
Told = tuple[int, bytes]
"""Columns, and float64 values of all tokens."""
_MEMORY_SIGNS = ("KV cache", "Available memory", "Free memory", "No available memory")


class Server:
    """`lora_rank`: the largest that the student's adapters may have; 0 without adapters. `scratch`: where its folder of
    checkpoints that had to be rewritten is made."""

    def __init__(self, weights: Weights, context: int, settings: EngineSettings, lora_rank: int,
                 scratch: Path | None = None) -> None:
        check_installed(settings.vllm)
        prepare_environment(settings.threads)
        self.weights = weights
        self.paired = weights.layout is Layout.PAIRED
        self._name = f"qstar-{next(_NAMES)}"
        self._shelf = Shelf()
        self._folders: dict[str, str] = {}
        self._scratch = TemporaryDirectory(prefix="qstar-vllm-", dir=scratch)
        self._device = _device(settings.device)
        self._engine: Any = None
        with _translated():
            self._start(context, settings, lora_rank)
        self._finalizer = weakref.finalize(self, _close, self._engine, self._name)

    def _start(self, context: int, settings: EngineSettings, lora_rank: int) -> None:
        scratch = Path(self._scratch.name)
        dtype = precision(settings, self._device)
        eager = settings.vllm.eager if settings.vllm.eager is not None else self._device == "cpu"

        def described(path: Path, budget: int, kv_bytes: int, lora: bool, processor: str) -> JsonObject:
            return arguments(
                str(path), dtype=dtype, context=context, rows=rows, budget=budget, eager=eager,
                kv_bytes=kv_bytes, loras=adapters.SLOTS,
                lora_rank=adapters.room_for(lora_rank) if lora else None, processor=f"{_HERE}.{processor}",
                host={KEY: self._name})

        weights = self.weights
        rows = settings.batch_size * (2 if self.paired else 1)
        teacher = loadable(weights.teacher, settings, self._device, scratch)
        student = loadable(weights.student, settings, self._device, scratch) if weights.student is not None else None
        self.memory = plan = planned(teacher, student, rows, context, settings, self._device, free_memory(self._device))
        budget = step_budget(rows, context, settings)
        if student is None:
            outer = described(teacher, resumable(budget, rows), plan.teacher_cache, weights.lora,
                              "paired:PairProcessor")
        else:
            outer = described(teacher, budget, plan.teacher_cache, False, "nested:TeacherProcessor")
        outer["worker_extension_cls"] = f"{_HERE}.worker.QstarWorker"
        self._engine = start(outer)
        if student is not None:
            inner = described(student, resumable(budget, rows), plan.student_cache, weights.lora,
                              "nested:StudentProcessor")
            self.engine.collective_rpc("qstar_open", args=(self._name, inner))

    def adapter(self, student: ModelRef, busy: Collection[int]) -> Adapter | None:
        """The student's LoRA, ready to be named in requests. One that was not here before takes the place of the one
        that was used longest ago, and nothing cached outlives it."""
        if not self.weights.lora:
            return None
        with _translated():
            if student.sha256 not in self._folders:
                self._folders[student.sha256] = loadable_adapter(student, self._device, Path(self._scratch.name))
            adapter, gone = self._shelf.take(student.sha256, self._folders[student.sha256], busy)
            if gone is not None:
                if self.paired:
                    self.engine.remove_lora(gone[1])
                else:
                    self._ask("qstar_drop_adapter", gone[1])
                if not busy:
                    self.engine.reset_prefix_cache()
                    self._ask("qstar_forget_cache")
        return adapter

    def order(self, order: MixOrder) -> None:
        with _translated():
            self._ask("qstar_order", order.model_dump_json())

    def add(self, request: str, ids: list[int], params: JsonObject, adapter: Adapter | None = None) -> None:
        """`params` of `vllm.SamplingParams`; what every request has in common is added."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        with _translated():
            self.engine.add_request(
                request, {"prompt_token_ids": ids},
                SamplingParams(temperature=0.0, ignore_eos=True, detokenize=False,
                               output_kind=RequestOutputKind.DELTA, **params),
                lora_request=adapters.lora_request(adapter))

    def step(self) -> list[Taken]:
        with _translated():
            return [(output.request_id, list(output.outputs[0].token_ids), output.finished)
                    for output in self.engine.step()]

    def abort(self, requests: list[str]) -> None:
        if requests:
            with _translated():
                self.engine.abort_request(requests)

    def collect(self, requests: list[str]) -> dict[str, Told]:
        """What was told about requests that ended."""
        with _translated():
            taken, error = self._ask("qstar_collect", requests)
        if error is not None:
            raise EngineError(error, "")
        found: dict[str, Told] = taken
        return found

    def rest(self) -> None:
        with _translated():
            self._ask("qstar_rest")

    @property
    def engine(self) -> Any:
        """The teacher's `vllm.LLMEngine`."""
        if self._engine is None:
            raise replaced()
        return self._engine

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        self._finalizer()
        self._engine = None
        self._scratch.cleanup()

    def _ask(self, method: str, *args: object) -> Any:
        return self.engine.collective_rpc(method, args=(self._name, *args))[0]


def replaced() -> EngineError:
    return EngineError("another engine of vLLM was started, which ended this one",
                       "take all samples of a run before the next begins")


def _close(engine: Any, name: str) -> None:
    forget(name)
    engine.engine_core.shutdown(timeout=_GRACE)


def _device(wanted: str) -> str:
    """The kind of device that this vLLM was built for."""
    from vllm.platforms import current_platform

    found = str(current_platform.device_type)
    kind, _, number = wanted.partition(":")
    if kind not in ("auto", found) or number not in ("", "0"):
        raise ConfigError(f"engine.device = {wanted}, and this vLLM runs on {found}",
                          "use auto; choose among several GPUs with CUDA_VISIBLE_DEVICES")
    return found


@contextmanager
def _translated() -> Iterator[None]:
    """vLLM's errors as the project's."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, AssertionError, OSError, MemoryError) as error:
        line = first_line(error)
        if is_out_of_memory(error) or any(sign in str(error) for sign in _MEMORY_SIGNS):
            raise NoMemoryError(f"vLLM has no memory: {line}",
                                "lower engine.batch_size, engine.context or engine.vllm.kv_cache_gib") from error
        raise EngineError(f"vLLM failed: {line}", "its own lines are above") from error
