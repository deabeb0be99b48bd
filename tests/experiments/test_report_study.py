"""A spec and a store with its results become the page; what a section needs is taken from the study's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qstar_core.errors import ConfigError, DataError
from qstar_core.experiments.cells import cells_of, plan
from qstar_core.experiments.report_origin import origin_of
from qstar_core.experiments.report_study import facts_of, write_page
from qstar_core.experiments.sections.facts import Kind
from qstar_core.experiments.spec import Spec, spec_of
from qstar_core.experiments.work import kept
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore
from tests.experiments.planted import planted

ORIGIN = origin_of("Evidence", "qstar experiment small", "small")
ARMS = ("kl-symmetry", "rft", "gold")


BRIEF = {"prompts": {"teacher": "{{ question }} ref {{ meta.reference }} brief"}}


def spec(**changes: Any) -> Spec:
    study = {"kind": "grid", "name": "main", "arms": list(ARMS), "regimes": {"a": {}, "b": BRIEF}, "seeds": [1, 2, 3],
             "reference": "kl-symmetry", "baseline": "rft", **changes}
    return spec_of({"name": "small", "studies": [study]}, "small.yaml")


@pytest.fixture
def store(tmp_path: Path, model_cache: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QSTAR_MODEL_CACHE", str(model_cache))
    return DirectoryStore(tmp_path / "store")


def done(store: ObjectStore, wanted: Spec) -> int:
    """As if every cell had been run."""
    works = plan(wanted.studies[0])
    cells = [asked.cell for asked in cells_of(wanted.studies[0])]
    for work, result in zip(works, planted(cells, dict.fromkeys(ARMS, 0.5)), strict=True):
        kept(store, work, result.model_copy(update={"key": work.key}))
    return len({work.place for work in works})


def test_the_page_is_made_from_what_lies_in_the_store(store: ObjectStore, tmp_path: Path) -> None:
    wanted = spec()
    count = done(store, wanted)
    assert count == 12  # two arms have no teacher: they are the same cell in both regimes
    page = write_page(store, wanted, ORIGIN, False, tmp_path / "page").read_text(encoding="utf-8")
    assert f"{count} cells" in page and "### Regime a" in page and "### Regime b" in page
    assert "SFT on gold: the problems' worked solutions" in page and "Baselines: own verified samples" in page
    lost = next((tmp_path / "store" / "experiments" / "cells").iterdir())
    lost.unlink()
    with pytest.raises(DataError, match="results are missing"):
        write_page(store, wanted, ORIGIN, False, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_study_that_is_not_run_here_asks_for_no_result_and_no_model(store: ObjectStore, tmp_path: Path) -> None:
    wanted = spec(not_run_here="needs a GPU", settings={"student": {"model": "nobody/nothing"}})
    page = write_page(store, wanted, ORIGIN, False, tmp_path).read_text(encoding="utf-8")
    assert "## Not run here" in page and "needs a GPU" in page


def test_the_kind_of_a_section_follows_from_the_study() -> None:
    facts = facts_of(spec().studies[0])
    assert facts.kind is Kind.COMPARISON and facts.baselines == ("rft", "gold") and facts.subject == "kl-symmetry"
    assert len(facts.expected) == 18
    assert facts_of(spec(reference=None, baseline=None).studies[0]).kind is Kind.GRID
    assert facts_of(spec(development=[1, 2]).studies[0]).kind is Kind.SEARCH
    assert facts_of(spec(baseline=None).studies[0]).kind is Kind.GRID
    axes = {"sampling.temperature": [0.6, 1.0]}
    grid = facts_of(spec(baseline=None, axes=axes, apart=list(axes)).studies[0])
    assert grid.kind is Kind.GRID and grid.apart == ("sampling.temperature",)


def test_planted_arms_are_known_by_what_they_are() -> None:
    arms = dict.fromkeys((*ARMS, "planted-worse", "planted-same")) | {
        "mine": {"like": "kl-symmetry", "salt": "x", "settings": {"sampling": {"temperature": 0.5}}}}
    facts = facts_of(spec(arms=arms).studies[0])
    assert (facts.worse, facts.same) == (("planted-worse",), ("planted-same",))
    assert facts_of(spec(arms=arms, reference=None, baseline=None).studies[0]).same == ()


def test_a_search_keeps_seeds_to_judge_on() -> None:
    for wrong in ([1, 2, 3], [7]):
        with pytest.raises(ConfigError, match="development names some of the seeds"):
            spec(development=wrong)
    with pytest.raises(ConfigError, match="none of the axes"):
        spec(apart=["task"])


def test_where_a_page_comes_from_is_told() -> None:
    assert {"Python", "qstar", "torch", "trl"} <= set(ORIGIN.versions) and "cores" in ORIGIN.machine and ORIGIN.commit
