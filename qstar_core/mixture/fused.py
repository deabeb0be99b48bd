"""Passes over the vocabulary, as one compiled kernel each where that pays, and as plain torch elsewhere.

A pass is a pure function of a Pair and further tensors with one row per sample. `Pair.fused` says which way a pass
over it goes; the function is the same, so the plain way is the reference of the compiled one. Any number of rows runs
through one compiled kernel.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, wraps
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._triton import has_triton

from qstar_core.errors import EngineError

Passes = Literal["auto", "on", "off"]
Result = TypeVar("Result")

_WIDE = 16_384
"""Below this vocabulary the kernels do not earn their compilation back."""

_WIDEST_PART = 4096

_INLINE = 1_000_000
_OPTIONS: dict[str, Any] = {"realize_opcount_threshold": _INLINE, "realize_reads_threshold": _INLINE,
                            "realize_acc_reads_threshold": _INLINE}
"""Recompute what a second sum needs rather than keep it: a [B, V] buffer costs more than its exponentials."""

_log = logging.getLogger(__name__)


def fusable(function: Callable[..., Result], recompute: bool = True) -> Callable[..., Result]:
    """Marks a pass: `function(pair, *more)`. `recompute`: what is read several times is cheaper to compute again than
    to keep; not so where every value depends on many others, as in a hash."""
    compiled = torch.compile(function, dynamic=True, options=_OPTIONS if recompute else {})

    @wraps(function)
    def run(pair: Any, *more: Any) -> Result:
        if not pair.fused:
            return function(pair, *more)
        if pair.rows_count > 1:
            return compiled(pair, *more)
        # a single row would be compiled apart, and add up in another order
        twice = pytree.tree_map_only(Tensor, lambda x: torch.cat([x, x]) if x.shape[0] == 1 else x, (pair, *more))
        result: Result = pytree.tree_map_only(Tensor, lambda x: x[:1], compiled(*twice))
        return result

    return run


def base_free(view: Tensor) -> Tensor:
    """The same memory, no longer known as part of a larger tensor, whose shape the compiler would tie a kernel to."""
    return view.data


def cut(logits_B_V: Tensor, parts: int) -> Tensor:
    """Every row as `parts` rows of consecutive tokens. What the last one lacks has no probability."""
    lacking = -logits_B_V.shape[1] % parts
    filled = torch.nn.functional.pad(logits_B_V, (0, lacking), value=float("-inf")) if lacking else logits_B_V
    return base_free(filled.reshape(logits_B_V.shape[0] * parts, -1))


def spread(part_B: Tensor, parts: int) -> Tensor:
    """One value for every part of a row."""
    return base_free(part_B.repeat_interleave(parts))


@cache
def parts_of(width: int, at_least: int) -> int:
    """Into how many equal parts a row is cut: small enough to stay near the processor and to be summed in float32
    without loss, wide enough to be worth a loop. 1 where none fit."""
    fitting = (size for size in range(at_least, min(_WIDEST_PART, width) + 1) if width % size == 0)
    return width // next(fitting, width)


def is_fused(wanted: Passes, device: torch.device, vocab: int) -> bool:
    """Whether to compile, said once in the log where the setting leaves it open."""
    if wanted == "off" or (wanted == "auto" and vocab < _WIDE):
        return False
    missing = _missing(device)
    if missing is None:
        return True
    if wanted == "on":
        raise EngineError(f"engine.compile = on, and there is no {missing} for {device.type}",
                          "install it, or use auto or off")
    _log.warning("the mixing step is not compiled: there is no %s for %s", missing, device.type)
    return False


def _missing(device: torch.device) -> str | None:
    """What compilation lacks on this machine."""
    if device.type == "cpu":
        from torch._inductor.cpp_builder import get_cpp_compiler  # slow to import, and needed here only
        from torch._inductor.exc import InvalidCxxCompiler
        try:
            get_cpp_compiler()
        except InvalidCxxCompiler:
            return "C++ compiler"
        return None
    return None if device.type == "cuda" and has_triton() else "Triton"
