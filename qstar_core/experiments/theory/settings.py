"""How large the checks of the theory are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qstar_core.experiments.study import StudySettings
from qstar_core.section import Name, Section

Concentration = Annotated[float, Field(ge=0.01, le=100)]


class Sharpness(Section):
    """Random models: Dirichlet with a concentration between two ends, evenly by its logarithm; below 1 is sharp. With
    `noise` the teacher is the student with so much normal noise on its logits, as models of one family are alike."""

    name: Name
    student: tuple[Concentration, Concentration]
    teacher: tuple[Concentration, Concentration] | None = None
    noise: float | None = Field(None, gt=0, le=10)

    @model_validator(mode="after")
    def _one_teacher(self) -> Sharpness:
        if (self.teacher is None) == (self.noise is None):
            raise ValueError(f"the level {self.name} needs either a teacher or noise")
        for low, high in filter(None, (self.student, self.teacher)):
            if low > high:
                raise ValueError(f"the level {self.name} has a concentration from {low} to {high}")
        return self


LEVELS = (
    Sharpness(name="both-flat", student=(3, 3), teacher=(3, 3)),
    Sharpness(name="student-flat", student=(1, 1), teacher=(0.1, 0.1)),
    Sharpness(name="student-sharp", student=(0.1, 0.1), teacher=(1, 1)),
    Sharpness(name="both-sharp", student=(0.1, 0.1), teacher=(0.1, 0.1)),
    Sharpness(name="extreme", student=(0.02, 0.02), teacher=(0.02, 0.02)),
    Sharpness(name="alike", student=(0.3, 0.3), noise=1.0),
    Sharpness(name="any", student=(0.02, 3), teacher=(0.02, 3)),
)


class TheoryStudy(StudySettings):
    kind: Literal["theory"] = "theory"
    seed: int = Field(0, ge=0)
    cells: int = Field(320, ge=40, le=1000, description="Cells of the plane along each axis")
    levels: tuple[Sharpness, ...] = Field(LEVELS, min_length=1)
    pairs: int = Field(300, ge=10, description="Random pairs of each level")
    vocabulary: int = Field(64, ge=2, le=10_000, description="Tokens of a random pair")
    chains: int = Field(40, ge=5, description="Pairs of random Markov chains")
    symbols: int = Field(5, ge=2, le=6, description="Tokens of a chain")
    length: int = Field(5, ge=2, le=6, description="Tokens of a sequence; all of them are enumerated")
    concentration: float = Field(0.5, gt=0, le=100, description="Dirichlet concentration of the rows of a chain")
