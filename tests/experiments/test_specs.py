"""Every packaged spec is one that runs: it loads, every cell has settings that the parts take, and what cannot run on
any machine says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from qstar_core.engine.mixing import mixer_of
from qstar_core.errors import ConfigError, ModelError
from qstar_core.experiments.cell import run_cell
from qstar_core.experiments.cells import Asked, cells_of, plan
from qstar_core.experiments.grid import GridStudy
from qstar_core.experiments.kinds import KINDS
from qstar_core.experiments.spec import load_spec, ready_specs, spec_of
from qstar_core.filters.chain import FilterChain
from qstar_core.models import resolve
from qstar_core.prompts import check_templates
from qstar_core.records import content_hash
from qstar_core.tiny.build import pair_hash
from qstar_core.tiny.recipe import PAIR
from qstar_core.tiny.sizes import NAMES, SIZES

CELLS = {name: [(study, asked) for study in load_spec(name).studies if isinstance(study, GridStudy)
                for asked in cells_of(study)] for name in ready_specs()}


def how(asked: Asked) -> str:
    return content_hash(asked.how.model_dump(mode="json"))


def study_of(**given: object) -> GridStudy:
    study = spec_of({"name": "test", "studies": [{"kind": "grid", "name": "test", **given}]}, "test").studies[0]
    assert isinstance(study, GridStudy)
    return study


def test_the_studies_of_the_plan_are_packaged():
    kinds = {study.kind for name in ready_specs() for study in load_spec(name).studies}
    assert kinds == set(KINDS)
    assert {"ablations", "scaling", "search", "speculation", "theory", "gpu", "hh-rlhf"} <= set(ready_specs())


@pytest.mark.parametrize("name", ready_specs())
def test_every_cell_has_settings_that_the_parts_take(name):
    seen = set()
    for _, asked in CELLS[name]:
        settings = asked.how.settings
        built = content_hash([settings.model_dump(mode="json", include={"alpha", "sampling", "support", "filters",
                                                                       "prompts"}),
                              [one.model_dump(mode="json") for one in asked.how.alpha_by_round]])
        if built not in seen:
            seen.add(built)
            for alpha in (settings.alpha, *asked.how.alpha_by_round):
                mixer_of(alpha, settings.sampling, settings.support, settings.engine, frozenset())
            FilterChain(settings.filters)
            check_templates(settings.prompts)
        assert settings.training is not None


@pytest.mark.parametrize("name", ready_specs())
def test_what_needs_more_than_this_package_is_not_run_here(name):
    for study in load_spec(name).studies:
        models = [getattr(asked.how.settings, role) for other, asked in CELLS[name] if other.name == study.name
                  for role in ("student", "teacher")]
        elsewhere = [model for model in models if not model.model.startswith("builtin:")]
        assert (study.not_run_here is not None) == bool(elsewhere), study.name
        assert all(model.model.removeprefix("builtin:") in NAMES for model in models if model not in elsewhere)
        assert all(model.model.count("/") == 1 and model.revision is None for model in elsewhere)


def test_the_gpu_spec_names_half_a_billion_to_fourteen():
    named = {asked.how.settings.student.model.split("-")[1] for _, asked in CELLS["gpu"]} | {
        asked.how.settings.teacher.model.split("-")[1] for _, asked in CELLS["gpu"]}
    assert named == {"0.5B", "1.5B", "3B", "7B", "14B"}
    text = (Path(__file__).parents[2] / "qstar_core/experiments/specs/gpu.yaml").read_text(encoding="utf-8")
    assert text.count("model: Qwen/") == text.count("-Instruct, revision: null}"), "there is a place for every revision"


@pytest.mark.parametrize("name", ["ablations", "ablations-quick"])
def test_ablations_change_one_thing_at_a_time_around_a_place_that_all_share(name):
    by_study: dict[str, set[str]] = {}
    for study, asked in CELLS[name]:
        by_study.setdefault(study.name, set()).add(how(asked))
    product = by_study.pop("method-by-temperature")
    if name == "ablations":
        assert set.intersection(*by_study.values(), product), "the base is in every study"
    assert all(found & product for study, found in by_study.items() if study != "hint")
    assert len(set.union(*by_study.values(), product)) < sum(map(len, by_study.values())) + len(product)
    varied = {axis for study, _ in CELLS[name] for axis in study.axes}
    assert {"alpha.tolerance", "sampling.temperature", "hint", "answers"} <= varied


def test_the_search_judges_on_seeds_that_chose_nothing():
    for name in ("search", "search-quick"):
        study = next(study for study, _ in CELLS[name])
        assert study.development and set(study.development) < set(study.seeds)
        assert all(arm.about for arm in study.arms.values())
        for _, asked in CELLS[name]:
            for alpha in (asked.how.settings.alpha, *asked.how.alpha_by_round):
                assert 0 <= alpha.min <= alpha.max <= 1


@pytest.mark.parametrize(("wrong", "told"), [
    ({"development": [9]}, "development"), ({"development": [1, 2]}, "development"),
    ({"apart": ["task"]}, "apart: 'task' is none of the axes"),
])
def test_studies_without_sense_are_refused(wrong, told):
    with pytest.raises(ConfigError) as found:
        study_of(arms=["uniform"], seeds=[1, 2], **wrong)
    assert told in found.value.fix


def test_kinds_are_told_apart_by_name():
    for given, told in (({"kind": "guess", "name": "x"}, r"studies\.0\.kind = 'guess' is wrong — use one of grid"),
                        ({"name": "x"}, r"studies\.0\.kind is missing — use one of grid, theory, speculation")):
        with pytest.raises(ConfigError, match=told):
            spec_of({"name": "x", "studies": [given]}, "x")
    with pytest.raises(ConfigError, match=r"unknown key studies\.0\.drafts"):
        spec_of({"name": "x", "studies": [{"kind": "theory", "name": "x", "drafts": [1]}]}, "x")
    for kind in ("theory", "speculation"):
        study = spec_of({"name": "x", "studies": [{"kind": kind, "name": "x"}]}, "x").studies[0]
        (work,) = KINDS[kind].plan(study)
        assert (work.kind, work.shelf) == (kind, kind)


QUARTERS = ({"method": "fixed", "fixed": 0.25}, {"method": "fixed", "fixed": 0.75})
BY_ROUND = {"label": "annealed", "alpha_by_round": QUARTERS}


def test_alpha_by_round_is_part_of_what_is_run():
    plain, annealed = (next(cells_of(study_of(arms={"arm": arm}, seeds=[1])))
                       for arm in ({"like": "kl-symmetry"}, {"like": "kl-symmetry", **BY_ROUND}))
    assert how(plain) != how(annealed)
    assert [alpha.fixed for alpha in annealed.how.alpha_by_round] == [0.25, 0.75]
    assert not annealed.how.alone
    own = next(cells_of(study_of(arms={"arm": {"like": "rft", "alpha_by_round": [{"fixed": 0.0}, {"fixed": 0.5}]}},
                                 seeds=[1])))
    assert not own.how.alone, "in the second round the teacher has a part in it"
    for arm in ({"like": "gold", **BY_ROUND}, {"like": "uniform", "alpha_by_round": [{"fixed": 2.0}]},
                {"like": "uniform", "alpha_by_round": [{"fix": 0.2}]}):
        with pytest.raises(ConfigError, match="alpha_by_round"):
            next(cells_of(study_of(arms={"arm": arm}, seeds=[1])))


def test_every_round_has_its_alpha(tmp_path, monkeypatch, model_cache):
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path))
    monkeypatch.setenv("QSTAR_MODEL_CACHE", str(model_cache))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    sets = [{"name": name, "role": role, "kinds": [kind], "prompts": 4,
             "source": {"path": "builtin:problems", "seed": 1000003}}
            for name, role, kind in (("target", "target", "story"), ("guard", "guard", "sort"))]
    sizes = {"rounds": 3, "prompts": 6, "draws": 1, "tokens": None, "kl_prompts": 2, "gradient_batches": 2}
    study = study_of(arms={"arm": {"like": "kl-symmetry", **BY_ROUND}}, seeds=[1], sizes=sizes,
                     settings={"training": {"max_steps": 1}, "evaluation": {"sets": sets}})
    try:
        (work,) = plan(study)
        mixing = run_cell(work, lambda *step: None).mixing
    finally:
        torch.set_num_threads(before)
    assert mixing is not None
    assert mixing.alpha == pytest.approx([0.25] * 6 + [0.75] * 12)


def test_models_of_another_size_are_other_models():
    hashes = {size: pair_hash(recipe) for size, recipe in SIZES.items()}
    assert len(set(hashes.values())) == len(SIZES) == 3
    assert SIZES[""] is PAIR, "what users have stays what it is"
    with pytest.raises(ModelError, match=r"builtin:tiny-student-huge is unknown — use .*builtin:tiny-teacher-large"):
        resolve("builtin:tiny-student-huge", None)


def test_no_spec_says_anything_twice():
    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict:
        keys = [loader.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return dict(zip(keys, (loader.construct_object(value, deep=True) for _, value in node.value), strict=True))

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    for path in (Path(__file__).parents[2] / "qstar_core/experiments/specs").glob("*.yaml"):
        yaml.load(path.read_text(encoding="utf-8"), Strict)
