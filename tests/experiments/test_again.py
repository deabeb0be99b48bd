"""A cell that is run again is held against its record, and whatever differs is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstar_core.errors import DataError
from qstar_core.experiments.again import again, differences, drawn
from qstar_core.experiments.cell import run_cell
from qstar_core.experiments.planning import planned
from qstar_core.experiments.records import CellResult
from qstar_core.experiments.work import kept
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore
from tests.experiments.small import SIZES, spec

SPEC = {"arms": ["gold"], "seeds": [1, 2], "sizes": {**SIZES, "prompts": 8}}


def doctored(result: CellResult) -> CellResult:
    """As if one answer had come out otherwise."""
    first, last = result.points
    right = (not last.right[0], *last.right[1:])
    return result.model_copy(update={"points": (first, last.model_copy(update={"right": right}))})


def test_an_honest_record_comes_out_the_same_and_a_doctored_one_is_found(store: ObjectStore) -> None:
    works = list(planned(store, spec(**SPEC)).left)
    results = [run_cell(work, lambda *step: None) for work in works]
    seconds = {"wall_seconds": 99.0, "created": "long ago", "cell": results[0].cell.model_copy(update={"study": "x"})}
    kept(store, works[0], results[0].model_copy(update=seconds))
    kept(store, works[1], doctored(results[1]))
    before = {info.key: store.read(info.key) for info in store.list("experiments")}
    honest, other = again(store, works, 1)
    assert not honest.differences and honest.work == works[0]
    (told,) = other.differences
    assert told.startswith("points.1.right.0 was ") and other.work == works[1]
    assert {info.key: store.read(info.key) for info in store.list("experiments")} == before, "records stand"


def test_finished_cells_are_drawn_the_same_ones_each_time(tmp_path: Path) -> None:
    store, wanted = DirectoryStore(tmp_path / "store"), spec(arms=["gold"], seeds=list(range(8)))
    with pytest.raises(DataError, match="no cell of it is done"):
        drawn(planned(store, wanted), 2)
    for work in planned(store, wanted).left[:5]:
        kept(store, work, CellResult(key=work.key, cell=_cell(work.asked), points=(), mixing=None, wall_seconds=1.0,
                                     cpu_seconds=1.0, code_version="0", created="now"))
    plan = planned(store, wanted)
    assert drawn(plan, 3) == drawn(plan, 3) and len({work.key for work in drawn(plan, 3)}) == 3
    assert len(drawn(plan, 99)) == 5 and not {work.key for work in drawn(plan, 99)} & {work.key for work in plan.left}


def _cell(asked: dict) -> dict:
    return asked["cell"]


@pytest.mark.parametrize(("old", "new", "told"), [
    ({"a": 1.0, "created": "x", "points": [{"training_seconds": 1}]},
     {"a": 1.0, "created": "y", "points": [{"training_seconds": 2}]}, []),
    ({"a": [1, 2]}, {"a": [1, 3]}, ["a.1 was 2 and is 3"]),
    ({"a": [1, 2]}, {"a": [1]}, ["a was [1, 2] and is [1]"]),
    ({"a": 0.1}, {"a": 0.1 + 1e-18}, []), ({"a": 0.1}, {"a": 0.1 + 1e-17}, ["a was 0.1 and is 0.10000000000000002"]),
    ({"a": None}, {}, []), ({}, {"b": 1}, ["b was None and is 1"]),
])
def test_differences_are_named(old: object, new: object, told: list[str]) -> None:
    assert list(differences(old, new)) == told
