"""A cell's key covers what its result depends on and nothing else; arms of one seed are paired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qstar_core.errors import ConfigError, DataError, IntegrityError
from qstar_core.evaluation.rotation import conversation
from qstar_core.experiments.cells import Asked, plan
from qstar_core.experiments.planning import planned, results_of
from qstar_core.experiments.problems import held_out, training_prompts
from qstar_core.experiments.records import CellResult
from qstar_core.experiments.work import Work, kept
from qstar_core.models import resolve
from qstar_core.prompts import PromptRenderer
from qstar_core.records import ModelRef
from qstar_core.stages.planning import renderer_for
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore
from tests.experiments.small import SETTINGS, SIZES, cells, spec, study, works

LEAKY = {"prompts": {"teacher": "{{ question }} ref {{ meta.reference }} brief"}}
REGIMES = {"shared": {}, "leaky": LEAKY}


def keys(**changes: Any) -> list[str]:
    return [work.key for work in works(**changes)]


@pytest.mark.parametrize("arm", ["rft", "off-policy", "gold", "dpo", "rloo"])
def test_an_arm_that_reads_no_hint_is_one_cell_in_all_regimes(arm: str) -> None:
    shared, leaky = keys(arms=[arm], regimes=REGIMES)
    assert shared == leaky


@pytest.mark.parametrize("arm", ["kl-symmetry", "hinted-teacher", "halves", "hinted-decoding", "dpo-kl-symmetry"])
def test_an_arm_with_a_hint_is_another_cell_in_another_regime(arm: str) -> None:
    shared, leaky = keys(arms=[arm], regimes=REGIMES)
    assert shared != leaky


def test_a_key_forgets_names_and_where_it_runs() -> None:
    (ours,) = keys(arms=["kl-symmetry"])
    assert keys(arms={"other": {"like": "kl-symmetry"}}, name="another", regimes={"elsewhere": {}}) == [ours]
    assert keys(arms=["kl-symmetry"], settings={**SETTINGS, "engine": {"batch_size": 7, "threads": 1}}) == [ours]


@pytest.mark.parametrize("changes", [
    {"seeds": [2]}, {"sizes": {**SIZES, "prompts": 65}}, {"sizes": {**SIZES, "tokens": 10}},
    {"pool": {"kinds": ["sort"]}}, {"settings": {**SETTINGS, "sampling": {"temperature": 0.5}}},
    {"settings": {**SETTINGS, "filters": []}}, {"settings": {**SETTINGS, "support": {"top_k": 3}}},
    {"settings": {**SETTINGS, "teacher": {"model": "builtin:tiny-student"}}},
    {"settings": {**SETTINGS, "student": {"model": "builtin:tiny-teacher"}}},
    {"settings": {**SETTINGS, "training": {**SETTINGS["training"], "learning_rate": 1e-4}}},
    {"arms": ["planted-same"]}, {"arms": ["planted-worse"]}, {"arms": ["entropy"]},
    {"arms": {"x": {"like": "kl-symmetry", "rounds": 1}}, "sizes": {**SIZES, "rounds": 2}},
], ids=str)
def test_a_key_knows_what_decides(changes: dict[str, Any]) -> None:
    (ours,) = keys(arms=["kl-symmetry"])
    if changes.get("arms") is not None and "x" in changes["arms"]:
        (ours,) = keys(arms=["kl-symmetry"], sizes={**SIZES, "rounds": 2})
    (other,) = keys(**{"arms": ["kl-symmetry"], **changes})
    assert other != ours


@pytest.mark.parametrize("section", ["source", "evaluation"])
def test_a_key_knows_what_a_file_holds(section: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "1 + 1", "answer": "2"}\n')
    source = {"path": str(path), "solution_field": "answer"}
    held_out = {"sets": [{**SETTINGS["evaluation"]["sets"][0], "source": source}]}
    settings = {**SETTINGS, **({"source": source} if section == "source" else {"evaluation": held_out})}
    (before,) = keys(arms=["gold"], settings=settings)
    assert keys(arms=["gold"], settings=settings) == [before]
    path.write_text('{"question": "1 + 1", "answer": "3"}\n')
    assert keys(arms=["gold"], settings=settings) != [before]
    path.unlink()
    with pytest.raises(DataError, match="jsonl"):
        keys(arms=["gold"], settings=settings)


def test_axes_multiply_and_name_their_places() -> None:
    found = cells(arms=["kl-symmetry"], seeds=[1, 2], axes={
        "alpha.method": ["entropy", "kl_symmetry"], "hint": {"steps": {}, "brief": LEAKY}, "sizes.prompts": [20, 30]})
    assert len(found) == 16 and len({str(one.cell.axes) for one in found}) == 8
    for one in found:
        assert one.how.settings.alpha.method == one.cell.axes["alpha.method"]
        assert one.how.sizes.prompts == one.cell.axes["sizes.prompts"]
        assert ("brief" in one.how.settings.prompts.teacher) is (one.cell.axes["hint"] == "brief")


def test_slow_arms_take_fewer_seeds_and_seeds_come_last() -> None:
    found = cells(arms={"kl-symmetry": None, "rloo": {"seeds": 1}}, seeds=[7, 8])
    assert [(one.cell.arm, one.cell.seed) for one in found] == [("kl-symmetry", 7), ("rloo", 7), ("kl-symmetry", 8)]


def renderer(one: Asked) -> PromptRenderer:
    settings = one.how.settings
    models: dict[str, ModelRef] = {"student": resolve(settings.student.model, None),
                                   "teacher": resolve(settings.teacher.model, None)}
    return renderer_for(settings, models)[0]


def asked(one: Asked, store: ObjectStore) -> tuple[list[str], list[str]]:
    """The prompts that it is trained on, and the problems that it is judged on."""
    suite = held_out(one.how.settings, store)
    return ([prompt.id for prompt, _ in training_prompts(one.how, suite, renderer(one))],
            [prompt.id for part in suite.sets for prompt in part.prompts])


def test_arms_of_a_seed_see_the_same_prompts_and_are_judged_on_the_same_problems(store: ObjectStore) -> None:
    found = cells(arms=["kl-symmetry", "rft", "gold", "dpo", "rloo", "planted-same"], regimes=REGIMES, seeds=[1, 2])
    first, second = ([asked(one, store) for one in found if one.cell.seed == seed] for seed in (1, 2))
    assert all(one == first[0] for one in first) and all(one == second[0] for one in second)
    assert first[0][1] == second[0][1] and not set(first[0][0]) & set(second[0][0][:10])


def test_what_is_asked_is_not_trained_on(store: ObjectStore) -> None:
    """Also where the source of the problems is the source of the prompts."""
    same = {**SETTINGS, "source": {"path": "builtin:problems", "seed": 1000002}}
    (one,) = cells(arms=["gold"], settings=same, seeds=[1], sizes={**SIZES, "prompts": 500})
    suite = held_out(one.how.settings, store)
    trained = {conversation(prompt) for prompt, _ in training_prompts(one.how, suite, renderer(one))}
    assert not trained & {conversation(prompt) for part in suite.sets for prompt in part.prompts}


def test_too_few_prompts_are_told(store: ObjectStore) -> None:
    (one,) = cells(arms=["gold"], sizes={**SIZES, "prompts": 5000})
    with pytest.raises(DataError, match="1 rounds of 5000 need 5000"):
        training_prompts(one.how, held_out(one.how.settings, store), renderer(one))


def result(work: Work, seconds: float = 60.0) -> CellResult:
    return CellResult(key=work.key, cell=Asked.model_validate(work.asked).cell, points=(), mixing=None,
                      wall_seconds=seconds, cpu_seconds=1.0, code_version="0", created="now")


def test_what_is_done_is_left_out_and_what_is_left_is_estimated(store: ObjectStore) -> None:
    whole = spec(arms=["kl-symmetry", "rft"], regimes=REGIMES, seeds=[1, 2])
    before = planned(store, whole)
    assert (len(before.works), len(before.left), before.done, before.seconds) == (8, 6, 0, None)
    for work in before.left[:2]:
        kept(store, work, result(work, 60.0 if work.arm == "rft" else 20.0))
    after = planned(store, whole)
    assert (len(after.left), after.done) == (4, 2) and after.seconds == 3 * 20.0 + 60.0
    assert {work.arm for work in planned(store, whole, ["main/rft"]).works} == {"rft"}
    assert len(planned(store, whole, ["main/rft", "main"]).works) == 8
    for wrong in ("nope", "main/nope"):
        with pytest.raises(ConfigError, match="nope"):
            planned(store, whole, [wrong])


def test_the_result_of_other_work_is_refused(store: ObjectStore) -> None:
    (work,) = works(arms=["gold"])
    kept(store, work, result(work).model_copy(update={"key": "other"}))
    with pytest.raises(IntegrityError, match="of another piece of work"):
        planned(store, spec(arms=["gold"]))


def test_results_have_the_names_of_the_study_that_asks(store: ObjectStore) -> None:
    (work,) = works(arms=["gold"])
    first = kept(store, work, result(work))
    assert kept(store, work, result(work, 1.0)) == first, "the first result stands"
    (found,) = results_of(store, study(name="other", arms={"alias": {"like": "gold"}}, regimes={"leaky": LEAKY}))
    assert (found.cell.study, found.cell.arm, found.cell.regime, found.key) == ("other", "alias", "leaky", work.key)


def test_a_study_that_is_not_run_here_is_checked_and_skipped_unless_forced(store: ObjectStore) -> None:
    whole = spec(not_run_here="it needs a GPU")
    assert planned(store, whole).skipped == {"main": "it needs a GPU"} and not planned(store, whole).works
    assert len(planned(store, whole, force=True).works) == 2


def test_the_suite_is_that_of_the_settings_whatever_the_store_holds(tmp_path: Any) -> None:
    (one,) = cells(arms=["gold"])
    assert {held_out(one.how.settings, DirectoryStore(tmp_path / name)).hash for name in ("a", "b")} \
        == {held_out(one.how.settings, DirectoryStore(tmp_path / "a")).hash}
    assert plan(study(arms=["gold"]))[0].key
