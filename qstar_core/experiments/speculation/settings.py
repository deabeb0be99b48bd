"""Which pairs speculation is measured on, and how often."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from qstar_core.experiments.study import StudySettings
from qstar_core.section import Name, Section

Draft = Annotated[int, Field(ge=1, le=64)]


class CostPair(Section):
    """`tiny` is the embedded pair with its teacher `times` as deep by layers that add nothing: acceptance stays, the
    cost grows. `random` are untrained models, the teacher with about `times` the student's parameters."""

    name: Name
    models: Literal["tiny", "random"]
    times: int = Field(ge=1, le=64)


PAIRS = tuple(CostPair(name=f"{models}-{times}x", models=models, times=times)
              for models in ("tiny", "random") for times in (1, 4, 16))


class SpeculationStudy(StudySettings):
    kind: Literal["speculation"] = "speculation"
    seed: int = Field(0, ge=0)
    pairs: tuple[CostPair, ...] = Field(PAIRS, min_length=1)
    drafts: tuple[Draft, ...] = Field((3, 5, 10), min_length=1, description="Draft lengths")
    slots: tuple[Annotated[int, Field(ge=1, le=256)], ...] = Field((1, 8), min_length=1, description="Batch sizes")
    tokens: int = Field(24, ge=8, le=64, description="Tokens of a row that are timed")
    turns: int = Field(5, ge=3, le=100, description="Times that everything is measured, in turn")
    settle: int = Field(300, ge=0, description="Rounds in which the adaptive way finds its draft length, untimed")
    hidden: int = Field(256, ge=32, le=4096, multiple_of=32, description="Width of the untrained student")
    spread: float = Field(1.0, gt=0, le=100, description="How far apart the logits of untrained models are")
    samples: int = Field(8_192, ge=256, multiple_of=256, description="Samples of each way in the test of exactness")
    length: int = Field(11, ge=2, le=14, description="Tokens of such a sample")
