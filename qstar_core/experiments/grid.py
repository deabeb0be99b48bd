"""Settings of a grid: arms × regimes × seeds × axes, each place of it one cell.

Regimes, arms and axes hold settings of the project (docs/settings.md) that are laid over those of the study, in this
order; beside them they may hold `sizes` and `pool`. What is not said is that of the packaged `base`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from math import prod
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, field_validator, model_validator

from qstar_core.experiments.study import StudySettings, Title, shown_as_it_is
from qstar_core.records import JsonObject
from qstar_core.section import Name, Section

# Sections of the settings that say where something runs, or that no cell asks for.
OUTSIDE = frozenset({
    "dataset", "serve", "round", "filtering", "best_of", "mixing", "export", "output", "reward", "rlhf", "promotion",
    "loop", "store", "operations", "metrics"})

Scalar = str | float | int | bool
Seed = Annotated[int, Field(ge=0, lt=10_000)]
Axis = tuple[Scalar, ...] | dict[str, JsonObject]


class Data(StrEnum):
    """Where an arm's rows come from."""

    MIXTURE = "mixture"  # samples of the mixture, filtered
    HALVES = "halves"    # samples of the student for every second prompt, of the teacher for the others, filtered
    GOLD = "gold"        # the problems' own solutions
    PAIRS = "pairs"      # of each prompt a kept sample of the mixture, and a wrong one of the student
    REWARD = "reward"    # prompts and gold answers: the recipe draws its samples by itself


class Arm(Section):
    """One method. `settings` are laid over the regime's; a recipe is named at `settings.training.recipe`."""

    label: Title = Field("", description="Its name in tables; empty: the key")
    about: Title = Field("", description="What it really is, in a line")
    data: Data = Field(Data.MIXTURE, description="Where its rows come from")
    proposer: Literal["student", "teacher"] = Field(
        "student", description="Whose weights read the student's prompt while sampling; teacher: its own, unhinted")
    settings: JsonObject = Field(default_factory=dict, description="Settings of the project, `sizes` and `pool`")
    seeds: int | None = Field(None, ge=1, description="Takes only the first so many seeds of the study")
    rounds: int | None = Field(None, ge=1, description="Takes fewer rounds than the study")
    alpha_by_round: tuple[JsonObject, ...] = Field(
        (), description="Laid over its settings of `alpha`, one for each round; the last one holds from then on")
    salt: str = Field("", description="Other random numbers for the same method; the prompts stay the same")
    spoiled: bool = Field(False, description="Every completion is given to another prompt: a method that must lose")

    @model_validator(mode="after")
    def _possible(self) -> Arm:
        if self.spoiled and self.data not in (Data.MIXTURE, Data.HALVES):
            raise ValueError(f"spoiled is for samples of a mixture, and data is {self.data}")
        if self.proposer == "teacher" and self.data is not Data.MIXTURE:
            raise ValueError(f"proposer: teacher is for data: mixture, and data is {self.data}")
        return self


class Sizes(Section):
    """The same for all arms, so that they can be compared."""

    rounds: int = Field(3, ge=1, le=100, description="Rounds of sampling and training")
    prompts: int = Field(300, ge=2, description="Prompts of a round; the next round takes the next ones")
    draws: int = Field(4, ge=1, le=64, description="Samples of a prompt at most; one a prompt more is drawn as long as "
                                                   "`tokens` are not reached")
    tokens: int | None = Field(None, ge=1, description="Tokens of completions that are kept in a round at most; "
                                                       "empty: all")
    kl_prompts: int = Field(48, ge=2, description="Problems on which KL(student‖first) is measured")
    gradient_batches: int = Field(8, ge=2, description="Micro-batches of which the gradient's variance is measured")


class Pool(Section):
    """Which prompts of the source are trained on."""

    kinds: tuple[str, ...] = Field((), description="Kinds of problem; empty: all")
    where: dict[str, tuple[JsonValue, ...]] = Field(default_factory=dict, description="Values of a problem's meta")


class GridStudy(StudySettings):
    kind: Literal["grid"] = "grid"
    base: Literal["tiny", "none"] = Field("tiny", description="Packaged settings to begin from; none: the defaults")
    settings: JsonObject = Field(default_factory=dict, description="Settings of the project for all cells")
    regimes: dict[Name, JsonObject] = Field(
        {"default": {}}, min_length=1, description="Situations in which the arms are compared, by name")
    arms: dict[Name, Arm] = Field(min_length=1, description="Methods by name: `name:` alone, or a list of names, takes "
                                                            "ready ones; `like: NAME` begins from one")
    reference: Name | None = Field(None, description="Arm that the others are compared with")
    baseline: Name | None = Field(None, description="Arm whose samples count as one for sample efficiency")
    seeds: tuple[Seed, ...] = Field((1, 2, 3), min_length=1, description="Seeds; the same one gives all arms the same "
                                                                         "prompts and the same first student")
    development: tuple[Seed, ...] = Field((), description="Seeds that a search may choose an arm by; the others judge")
    axes: dict[str, Axis] = Field(
        default_factory=dict, description="More dimensions: a setting's name with its values, or a name with settings "
                                          "by label; every combination is run")
    apart: tuple[str, ...] = Field((), description="Axes across whose values nothing is compared, such as the task")
    pool: Pool | None = Field(None, description="Prompts that are trained on; empty: the base's, else all")
    sizes: Sizes = Sizes()

    @field_validator("arms", mode="before")
    @classmethod
    def _ready_ones(cls, value: object) -> object:
        from qstar_core.experiments.arms import ready_arms

        return ready_arms(value)

    @field_validator("seeds", "axes")
    @classmethod
    def _once(cls, value: Any) -> Any:
        lists = value.items() if isinstance(value, dict) else (("seeds", value),)
        for name, found in lists:
            for text in (name, *(one for one in found if isinstance(one, str))):
                shown_as_it_is(text)
            if isinstance(found, tuple | dict) and not found:
                raise ValueError(f"{name} has no value")
            if isinstance(found, tuple) and len(set(found)) < len(found):  # 1 and 1.0 are the same value
                raise ValueError(f"{name} names a value twice")
        return value

    @model_validator(mode="after")
    def _named(self) -> GridStudy:
        for name in (self.reference, self.baseline):
            if name is not None and name not in self.arms:
                raise ValueError(f"{name!r} is none of the arms: {', '.join(self.arms)}")
        if self.baseline is not None and (self.reference is None or self.axes):
            raise ValueError("baseline is for a study with a reference and without axes: no other counts samples")
        for name in self.apart:
            if name not in self.axes:
                raise ValueError(f"apart: {name!r} is none of the axes: {', '.join(self.axes)}")
        strange = set(self.development) - set(self.seeds)
        if strange or (self.development and set(self.development) == set(self.seeds)):
            raise ValueError("development names some of the seeds, not all of them and no other")
        return self

    @model_validator(mode="after")
    def _used(self) -> GridStudy:
        for where, key in self._keys():
            section = key.partition(".")[0]
            if section in OUTSIDE:
                raise ValueError(f"{where} sets {key}, which no cell uses; remove it ({section} is no part of what a "
                                 "study compares)")
        return self

    def _keys(self) -> Iterator[tuple[str, str]]:
        """What is set, and where."""
        trees = [("settings", self.settings)]
        trees += [(f"the regime {name}", tree) for name, tree in self.regimes.items()]
        trees += [(f"the arm {name}", arm.settings) for name, arm in self.arms.items()]
        for name, values in self.axes.items():
            if isinstance(values, dict):
                trees += [(f"the axis {name} at {label}", tree) for label, tree in values.items()]
            else:
                yield f"the axis {name}", name
        yield from ((where, key) for where, tree in trees for key in tree)

    @property
    def cells(self) -> int:
        """How many there are, counted without making one."""
        seeds = sum(min(arm.seeds or len(self.seeds), len(self.seeds)) for arm in self.arms.values())
        return seeds * len(self.regimes) * prod(map(len, self.axes.values()))

    @property
    def dimensions(self) -> str:
        counts = {"regimes": self.regimes, "arms": self.arms, "seeds": self.seeds, **self.axes}
        return " × ".join(f"{len(values)} {name}" for name, values in counts.items())
