"""A spec and the store → the page: what each study's section needs is taken from its settings and its results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qstar_core.errors import DataError
from qstar_core.experiments.cells import cells_of
from qstar_core.experiments.grid import GridStudy
from qstar_core.experiments.kinds import KINDS
from qstar_core.experiments.planning import results_of
from qstar_core.experiments.records import CellResult
from qstar_core.experiments.report import Origin, write_report
from qstar_core.experiments.sections.base import Section
from qstar_core.experiments.sections.facts import Facts, Kind, NotRun
from qstar_core.experiments.spec import Spec, Study
from qstar_core.experiments.speculation.section import SpeculationSection
from qstar_core.experiments.theory.section import TheorySection
from qstar_core.experiments.work import found
from qstar_core.store.objects import ObjectStore

# What the plan compares q* with; every other arm is a control.
BASELINES = ("rloo", "grpo", "off-policy", "gold", "dpo", "uniform", "entropy")
# The section of a study of another kind, from its name, its title and its results.
OTHERS: dict[str, Callable[..., Section]] = {"theory": TheorySection, "speculation": SpeculationSection}


def write_page(store: ObjectStore, spec: Spec, origin: Origin, force: bool, folder: Path) -> Path:
    """`force`: studies that are not run here have been run. DataError where a result is missing."""
    grids: list[tuple[Facts, list[CellResult]]] = []
    others: list[Section] = []
    not_run: list[NotRun] = []
    for study in spec.studies:
        if study.not_run_here and not force:
            not_run.append(NotRun(name=study.name, title=study.title, reason=study.not_run_here))
        elif isinstance(study, GridStudy):
            grids.append((facts_of(study), list(results_of(store, study))))
        else:
            others.append(_other(store, study))
    return write_report(origin, grids, others, not_run, folder)


def facts_of(study: GridStudy) -> Facts:
    whole = study.reference and study.baseline and not study.axes
    kind = Kind.SEARCH if study.development else Kind.COMPARISON if whole else Kind.GRID
    expected = tuple(asked.cell for asked in cells_of(study))
    baselines = [arm for arm in study.arms if arm in (*BASELINES, study.baseline) and arm != study.reference]
    return Facts(
        name=study.name, title=study.title or study.name, kind=kind, subject=study.reference, baseline=study.baseline,
        arms={name: arm.label or name for name, arm in study.arms.items()},
        about={name: arm.about for name, arm in study.arms.items() if arm.about},
        baselines=tuple(baselines), worse=tuple(name for name, arm in study.arms.items() if arm.spoiled),
        same=tuple(name for name in study.arms if _same(study, name)), expected=expected, development=study.development,
        apart=study.apart)


def _same(study: GridStudy, name: str) -> bool:
    """The reference once more, with other random numbers."""
    reference = study.arms.get(study.reference or "")
    arm = study.arms[name]
    return reference is not None and arm.salt != reference.salt and reference == arm.model_copy(
        update={"salt": reference.salt, "label": reference.label, "about": reference.about})


def _other(store: ObjectStore, study: Study) -> Section:
    kind = KINDS[study.kind]
    results = [found(store, work, kind.result) for work in kind.plan(study)]
    if None in results:
        raise DataError(f"{results.count(None)} of {len(results)} results of the study {study.name} are missing",
                        "run it again: it goes on where it stopped")
    return OTHERS[study.kind](study.name, study.title, *results)
