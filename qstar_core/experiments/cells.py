"""A grid → its cells, each with everything that its result depends on and nothing else.

What an arm does not use is taken out of its settings before they are hashed: an arm without a teacher is the same cell
in every regime, and is run once.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from itertools import product
from typing import Any

from qstar_core.config import AlphaSettings, SamplingSettings, Settings, SourceSettings, SupportSettings
from qstar_core.configload import load_settings, merge, read_yaml
from qstar_core.errors import ConfigError
from qstar_core.evaluation.speaker import students_alone
from qstar_core.experiments.arms import HERE
from qstar_core.experiments.grid import OUTSIDE, Arm, Data, GridStudy, Pool, Scalar, Sizes
from qstar_core.experiments.records import Cell
from qstar_core.experiments.work import Work
from qstar_core.models import resolve
from qstar_core.recipes import RECIPES, Dpo, Rewarded, Sft, Training
from qstar_core.records import JsonObject, Record, content_hash
from qstar_core.sources.reading import read_source

FORM = 1  # goes up when the same settings would give other results
SHELF = "cells"
_NAMES = {"student": {"model", "revision", "line", "initial", "base"}, "teacher": {"model", "revision"},
          "engine": {"batch_size", "threads", "device", "compile"}}

_RECIPES: dict[Data, type[Training]] = {Data.MIXTURE: Sft, Data.HALVES: Sft, Data.GOLD: Sft, Data.PAIRS: Dpo,
                                        Data.REWARD: Rewarded}


class CellSettings(Record):
    """A cell as it is run. `alone`: only the student is sampled from. `alpha_by_round`: in place of the settings', the
    last one from then on; empty: theirs in every round."""

    data: Data
    proposer: str
    alone: bool
    alpha_by_round: tuple[AlphaSettings, ...]
    salt: str
    spoiled: bool
    seed: int
    pool: Pool
    sizes: Sizes
    settings: Settings

    @property
    def taught(self) -> bool:
        """Whether a teacher has a part in it."""
        return self.proposer == "teacher" or (not self.alone and self.data not in (Data.GOLD, Data.REWARD))


class Asked(Record):
    """What a worker is given."""

    cell: Cell
    how: CellSettings


def cells_of(study: GridStudy) -> Iterator[Asked]:
    """In the order of the spec; seeds come last, so that the first results are of all arms."""
    common = _base(study)
    for index, seed in enumerate(study.seeds):
        for (regime, situation), (name, arm) in product(study.regimes.items(), study.arms.items()):
            if arm.seeds is not None and index >= arm.seeds:
                continue
            for place, overrides in _axes(study):
                cell = Cell(study=study.name, regime=regime, arm=name, seed=seed, axes=place)
                layers = (common, study.settings, situation, arm.settings, *overrides)
                yield Asked(cell=cell, how=_settled(study, cell, arm, layers))


def plan(study: GridStudy) -> list[Work]:
    """One piece of work a cell; the models are made or fetched where they are not here."""
    hashes: dict[str, str] = {}
    found = [(asked.cell, _work(asked, hashes)) for asked in cells_of(study)]
    for axis in study.axes:
        _check_effect(study, axis, [(cell, work.key) for cell, work in found])
    return [work for _, work in found]


def _check_effect(study: GridStudy, axis: str, keys: list[tuple[Cell, str]]) -> None:
    """Somewhere, two values of the axis are two cells."""
    places: dict[str, set[str]] = {}
    for cell, key in keys:
        elsewhere = {name: value for name, value in cell.axes.items() if name != axis}
        places.setdefault(told(cell.model_copy(update={"axes": elsewhere})), set()).add(key)
    if len(study.axes[axis]) > 1 and all(len(found) == 1 for found in places.values()):
        raise ConfigError(f"{study.name}: the axis {axis} changes nothing for {', '.join(study.arms)}: its values are "
                          "one and the same cell", "remove it, or name an arm whose result depends on it")


def told(cell: Cell) -> str:
    axes = [f"{name}={value}" for name, value in cell.axes.items()]
    return "/".join((cell.regime, cell.arm, *axes, str(cell.seed)))


def _work(asked: Asked, hashes: dict[str, str]) -> Work:
    return Work(study=asked.cell.study, kind="grid", label=told(asked.cell), arm=asked.cell.arm, shelf=SHELF,
                key=_key(asked.how, hashes), asked=asked.model_dump(mode="json"))


def _key(how: CellSettings, hashes: dict[str, str]) -> str:
    """`hashes` remembers those of models and sources that were asked for."""
    settings = how.settings.model_dump(mode="json", exclude=set(OUTSIDE))
    for section, names in _NAMES.items():
        settings[section] = {name: value for name, value in settings[section].items() if name not in names}
    sources = [how.settings.source, *(one.source or how.settings.source for one in how.settings.evaluation.sets)]
    outside = [_source_hash(source, hashes) for source in sources if not source.path.startswith("builtin:")]
    models = [_model_hash(how.settings.student, hashes)]
    if how.taught:
        models.append(_model_hash(how.settings.teacher, hashes))
    rest = how.model_dump(mode="json", exclude={"settings"})
    return content_hash([FORM, version("qstar"), models, settings, rest, *outside])[:24]


def _source_hash(source: SourceSettings, hashes: dict[str, str]) -> str:
    """Of what it holds now, every row of it: the path of a file says nothing of that."""
    name = content_hash(source.model_dump(mode="json"))
    if name not in hashes:
        prompts = (read.prompt.model_dump(mode="json") for read in read_source(source) if read.prompt is not None)
        hashes[name] = content_hash([content_hash(prompt) for prompt in prompts])
    return hashes[name]


def _model_hash(model: Any, hashes: dict[str, str]) -> str:
    name = content_hash(model.model_dump(mode="json"))
    if name not in hashes:
        hashes[name] = resolve(model.model, model.revision, base=getattr(model, "base", None)).sha256
    return hashes[name]


def _base(study: GridStudy) -> JsonObject:
    tree = {} if study.base == "none" else read_yaml(HERE / "base.yaml")
    if study.pool is not None:
        tree["pool"] = study.pool.model_dump()
    merge(tree, {"sizes": study.sizes.model_dump(exclude_unset=True)})
    return tree


def _axes(study: GridStudy) -> Iterator[tuple[dict[str, Scalar], list[JsonObject]]]:
    """Every combination: its place on the grid, and what is laid over the settings there."""
    dimensions: list[list[tuple[str, Scalar, JsonObject]]] = []
    for name, values in study.axes.items():
        if isinstance(values, dict):
            dimensions.append([(name, label, overrides) for label, overrides in values.items()])
        else:
            dimensions.append([(name, value, _at(name, value)) for value in values])
    for chosen in product(*dimensions):
        yield {name: value for name, value, _ in chosen}, [overrides for _, _, overrides in chosen]


def _at(name: str, value: Scalar) -> JsonObject:
    tree: Any = value
    for part in reversed(name.split(".")):
        tree = {part: tree}
    return dict(tree)


def _settled(study: GridStudy, cell: Cell, arm: Arm, layers: tuple[JsonObject, ...]) -> CellSettings:
    tree: JsonObject = {}
    for layer in layers:
        merge(tree, layer)
    try:
        sizes, pool = Sizes.model_validate(tree.pop("sizes", {})), Pool.model_validate(tree.pop("pool", {}))
        settings = load_settings(flags=tree)
    except ConfigError as error:
        raise ConfigError(f"{study.name} {told(cell)}: {error.problem}", error.fix) from None
    except ValueError as error:
        raise ConfigError(f"{study.name} {told(cell)}: sizes or pool are wrong: {' '.join(str(error).split())[:200]}",
                          "docs/experiments.md lists them") from None
    _check_recipe(settings, arm, f"{study.name} {told(cell)}")
    by_round = _by_round(settings.alpha, arm, f"{study.name} {told(cell)}")
    if arm.rounds is not None:
        sizes = sizes.model_copy(update={"rounds": min(arm.rounds, sizes.rounds)})
    alone = arm.data in (Data.MIXTURE, Data.PAIRS) and all(map(_student_only, by_round or (settings.alpha,)))
    return CellSettings(data=arm.data, proposer=arm.proposer, alone=alone, alpha_by_round=by_round, salt=arm.salt,
                        spoiled=arm.spoiled, seed=cell.seed, pool=pool, sizes=sizes,
                        settings=_without_the_unused(settings, arm.data, alone and arm.proposer == "student"))


def _by_round(alpha: AlphaSettings, arm: Arm, where: str) -> tuple[AlphaSettings, ...]:
    if arm.alpha_by_round and arm.data not in (Data.MIXTURE, Data.PAIRS):
        raise ConfigError(f"{where}: alpha_by_round has no use where the data is {arm.data.value}", "remove it")
    found = []
    for number, overrides in enumerate(arm.alpha_by_round, 1):
        try:
            found.append(AlphaSettings.model_validate(alpha.model_dump() | overrides))
        except ValueError as error:
            raise ConfigError(f"{where}: alpha_by_round of round {number} is wrong: "
                              f"{' '.join(str(error).split())[:200]}", "docs/settings.md lists alpha") from None
    return tuple(found)


def _check_recipe(settings: Settings, arm: Arm, where: str) -> None:
    """The arm's rows are of the kind that its recipe reads, and its gradient is told for."""
    wanted, named = _RECIPES[arm.data], settings.training
    if not isinstance(named, wanted):
        told = "none" if named is None else named.recipe
        fitting = " or ".join(sorted(name for name, kind in RECIPES.items() if issubclass(kind, wanted)))
        raise ConfigError(f"{where}: data: {arm.data} does not go with the recipe {told}",
                          f"name {fitting} at settings.training.recipe")


def _student_only(alpha: AlphaSettings) -> bool:
    return (alpha.method == "fixed" and alpha.fixed == 0.0 and alpha.min == 0.0 and alpha.policy.name == "constant"
            and not alpha.teacher_first_token and not alpha.teacher_special_tokens)


def _without_the_unused(settings: Settings, data: Data, alone: bool) -> Settings:
    changes: dict[str, Any] = {}
    if alone or data in (Data.GOLD, Data.REWARD):
        changes["prompts"] = students_alone(settings.prompts)
    if data is Data.HALVES:
        changes["alpha"] = AlphaSettings()
    if data in (Data.GOLD, Data.REWARD):
        changes |= {"alpha": AlphaSettings(), "support": SupportSettings(), "filters": (),
                    "sampling": SamplingSettings(max_tokens=settings.sampling.max_tokens, stop=settings.sampling.stop)}
    return settings.model_copy(update=changes)
