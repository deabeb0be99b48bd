"""What a filter is. One filter a file: a class with a `name`, built from its options, that keeps or gives a reason.

A filter may remember what it has seen (duplicates do); one instance judges one round, in the order of the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from qstar_core.records import Prompt, Sample


@dataclass(frozen=True, slots=True)
class Candidate:
    prompt: Prompt
    sample: Sample


class Options(BaseModel):
    """Base of every filter's options: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Filter(Protocol):
    def judge(self, candidate: Candidate) -> str | None:
        """None keeps the sample; a short phrase says why it is dropped, alike for alike samples."""
        ...
