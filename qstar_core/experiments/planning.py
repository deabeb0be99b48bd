"""A spec and a store → what there is to do, what is done, and how long the rest may take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from qstar_core.errors import ConfigError
from qstar_core.experiments.cells import Asked, plan
from qstar_core.experiments.grid import GridStudy
from qstar_core.experiments.kinds import KINDS
from qstar_core.experiments.records import CellResult
from qstar_core.experiments.spec import Spec, Study
from qstar_core.experiments.work import Work, found
from qstar_core.records import Record
from qstar_core.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Planned:
    """`works` are all that were asked for, `left` those without a result, each once: studies may share some. `skipped`
    are the studies that are not run here, with the reason."""

    works: tuple[Work, ...]
    left: tuple[Work, ...]
    skipped: dict[str, str]
    seconds: float | None

    @property
    def done(self) -> int:
        """Of the different ones."""
        return len({work.place for work in self.works}) - len(self.left)


def planned(store: ObjectStore, spec: Spec, only: Sequence[str] = (), force: bool = False) -> Planned:
    """`only` names studies, or arms as STUDY/ARM. `seconds`: CPU work that is left, by what was measured; None where
    nothing was."""
    wanted = _wanted(spec, only)
    skipped = {study.name: study.not_run_here for study in spec.studies
               if study.not_run_here and study.name in wanted and not force}
    works = tuple(work for study in spec.studies if study.name in wanted and study.name not in skipped
                  for work in KINDS[study.kind].plan(study) if _asked_for(work, wanted[study.name]))
    done: dict[str, Record] = {}
    left: dict[str, Work] = {}
    for work in works:
        if work.place not in done and work.place not in left:
            result = found(store, work, KINDS[work.kind].result)
            if result is None:
                left[work.place] = work
            else:
                done[work.place] = result
    return Planned(works, tuple(left.values()), skipped, _seconds(works, done, tuple(left.values())))


def results_of(store: ObjectStore, study: GridStudy) -> Iterator[CellResult]:
    """Those that are there, under the names that the study gives them."""
    for work in plan(study):
        result = found(store, work, CellResult)
        if result is not None:
            yield result.model_copy(update={"cell": Asked.model_validate(work.asked).cell})


def _wanted(spec: Spec, only: Sequence[str]) -> dict[str, tuple[str, ...] | None]:
    """The arms of each study that was named; None where all of them."""
    if not only:
        return dict.fromkeys(study.name for study in spec.studies)
    found: dict[str, tuple[str, ...] | None] = {}
    studies = {study.name: study for study in spec.studies}
    for name in only:
        study, _, arm = name.partition("/")
        if study not in studies:
            raise ConfigError(f"--only {name}: spec {spec.name} has no study {study!r:.80}",
                              f"name one of {', '.join(studies)}")
        arms = arms_of(studies[study])
        if arm and arm not in arms:
            raise ConfigError(f"--only {name}: study {study} has no arm {arm!r:.80}",
                              f"name one of {', '.join(arms)}" if arms else f"give {study} alone")
        known = found.get(study, ())
        found[study] = None if not arm or known is None else (*known, arm)
    return found


def _asked_for(work: Work, arms: tuple[str, ...] | None) -> bool:
    return arms is None or work.arm in arms


def arms_of(study: Study) -> tuple[str, ...]:
    return tuple(getattr(study, "arms", ()))


def _seconds(works: Sequence[Work], done: dict[str, Record], left: Sequence[Work]) -> float | None:
    """What is left, each at the mean of what is done of its arm, else of all."""
    took: dict[tuple[str, str], list[float]] = {}
    for work in works:
        if work.place in done:
            took.setdefault((work.kind, work.arm), []).append(float(getattr(done[work.place], "wall_seconds", 0.0)))
    everything = [seconds for found in took.values() for seconds in found]
    if not everything:
        return 0.0 if not left else None
    return sum(fmean(took.get((work.kind, work.arm), everything)) for work in left)
