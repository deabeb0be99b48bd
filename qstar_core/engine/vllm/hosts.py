"""What the logits processors and the worker extension of one engine share: they are made by vLLM, and find each other
here by the name that stands in the engine's configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qstar_core.engine.vllm.mixing import Mixing, Told

if TYPE_CHECKING:
    from qstar_core.engine.vllm.student import Student

KEY = "qstar"  # of vLLM's `additional_config` and `extra_args`


@dataclass(slots=True)
class Host:
    """`error`: why nothing more can be drawn, for the other side to raise."""

    mixing: Mixing | None = None
    student: Student | None = None
    told: Told = field(default_factory=Told)
    error: str | None = None


_HOSTS: dict[str, Host] = {}


def host_of(vllm_config: Any) -> Host:
    return host_named(vllm_config.additional_config[KEY])


def host_named(name: str) -> Host:
    return _HOSTS.setdefault(name, Host())


def forget(name: str) -> None:
    _HOSTS.pop(name, None)
