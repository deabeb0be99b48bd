"""Packaged specs are sound, ready arms are filled in, and a mistake is one line that names the key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from qstar_core.errors import ConfigError
from qstar_core.experiments.arms import ready_arm_names
from qstar_core.experiments.cells import cells_of
from qstar_core.experiments.grid import Data, GridStudy
from qstar_core.experiments.spec import load_spec, ready_specs, spec_of
from qstar_core.report.text import visible
from tests.experiments.small import cells, study, values, works

DOCUMENT = "".join((Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")
                   for name in ("experiments.md", "experiments-theory.md"))


@pytest.mark.parametrize("name", ready_specs())
def test_packaged_specs_are_sound_and_documented(name: str) -> None:
    spec = load_spec(name)
    assert spec.name == name and f"| `{name}` |" in DOCUMENT
    for one in spec.studies:
        if isinstance(one, GridStudy):
            assert list(cells_of(one)), one.name


def test_the_profiles_are_there() -> None:
    assert {"smoke", "mvp", "quick", "full"} <= set(ready_specs())
    quick, full = load_spec("quick").studies[0], load_spec("full").studies[0]
    assert {cell.how.model_dump_json() for cell in cells_of(quick)} <= {
        cell.how.model_dump_json() for cell in cells_of(full)}, "what quick did, full does not do again"
    assert {"planted-worse", "planted-same"} <= set(load_spec("smoke").studies[0].arms)


def test_the_documents_specs_load(tmp_path: Path) -> None:
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL) if block.startswith("name:")]
    assert blocks
    for block in blocks:
        (tmp_path / "it.yaml").write_text(block, encoding="utf-8")
        assert all(list(cells_of(one)) for one in load_spec(str(tmp_path / "it.yaml")).studies)


def test_a_spec_may_include_others(tmp_path: Path) -> None:
    suite = load_spec("suite")
    assert [one.name for one in suite.studies][:2] == ["main", "search"]
    assert list(cells_of(suite.studies[0])) == list(cells_of(load_spec("full").studies[0])), "the same cells"
    (tmp_path / "a.yaml").write_text("{name: a, include: [smoke, theory], studies: []}")
    assert [one.name for one in load_spec(str(tmp_path / "a.yaml")).studies] == ["main", "theory"]
    for include, told in ((["nope"], "there is no spec 'nope'"), (["suite"], "suite includes others itself"),
                          (["quick", "full"], "two studies have one name: main, main"),
                          ([str(tmp_path / "a.yaml")], "includes others itself")):
        (tmp_path / "b.yaml").write_text(yaml.safe_dump({"name": "b", "include": include}))
        with pytest.raises(ConfigError, match=told):
            load_spec(str(tmp_path / "b.yaml"))
    (tmp_path / "c.yaml").write_text("{name: c, include: [a2.yaml]}")
    (tmp_path / "a2.yaml").write_text("{name: a2, include: [], studies: [{kind: theory, name: beside}]}")
    assert [one.name for one in load_spec(str(tmp_path / "c.yaml")).studies] == ["beside"]
    with pytest.raises(ConfigError, match="there is no spec"):
        load_spec("x" * 5000)


@pytest.mark.parametrize("name", ready_arm_names())
def test_every_ready_arm_makes_a_cell_and_is_documented(name: str) -> None:
    (cell,) = cells(arms=[name])
    assert cell.how.settings.training is not None
    assert f"| `{name}` |" in DOCUMENT and study(arms=[name]).arms[name].about


def test_an_arm_may_begin_from_another_and_change_it() -> None:
    found = study(arms={"mine": {"like": "uniform", "settings": {"alpha": {"fixed": 0.3}}}, "rft": None}).arms
    assert found["mine"].settings["alpha"] == {"method": "fixed", "fixed": 0.3} and not found["mine"].label
    assert found["rft"].label and found["rft"].data is Data.MIXTURE
    assert study(arms=["uniform"]).arms["uniform"].settings["alpha"]["fixed"] == 0.5, "the ready one is unchanged"


@pytest.mark.parametrize(("changes", "told"), [
    ({"arms": ["nope"]}, "there is no ready arm 'nope'"),
    ({"arms": ["rft", "rft"]}, "names an arm twice"),
    ({"arms": [["rft"]]}, "a list of arms holds names"),
    ({"arms": {"mine": {"like": [1]}}}, "there is no ready arm"),
    ({"axes": {"sampling.temperature": [1, 1.0]}}, "sampling.temperature names a value twice"),
    ({"arms": {"mine": {"data": "gol"}}}, "studies.0.arms.mine.data = 'gol' is wrong"),
    ({"sizes": {"promts": 3}}, "unknown key studies.0.sizes.promts = 3 — did you mean prompts?"),
    ({"sizes": {"prompts": 0}}, "studies.0.sizes.prompts = 0 is wrong"),
    ({"seeds": [1, 1]}, "seeds names a value twice"),
    ({"seeds": []}, "studies.0.seeds"),
    ({"axes": {"sampling.temperature": []}}, "sampling.temperature has no value"),
    ({"reference": "rft"}, "'rft' is none of the arms: kl-symmetry, gold"),
    ({"arms": {"mine": {"data": "gold", "spoiled": True}}}, "studies.0.arms.mine is wrong — spoiled is for samples"),
    ({"arms": {"mine": {"data": "halves", "proposer": "teacher"}}}, "proposer: teacher is for data: mixture"),
    ({"kind": "gird"}, "studies.0.kind"),
    ({"regimes": {"A b": {}}}, "studies.0.regimes"),
    ({"axes": {"a": list(range(1000)), "b": list(range(1000))}}, "its 2,000,000 cells are more than 20,000"),
    ({"axes": {"store.uri": ["a", "b"]}}, "the axis store.uri sets store.uri, which no cell uses"),
    ({"axes": {"where": {"here": {"loop": {"rounds": 2}}}}}, "the axis where at here sets loop, which no cell uses"),
    ({"settings": {"dataset": "x"}}, "settings sets dataset, which no cell uses"),
    ({"regimes": {"odd": {"store.uri": "x"}}}, "the regime odd sets store.uri, which no cell uses"),
    ({"arms": {"rft": {"settings": {"serve": {}}}}}, "the arm rft sets serve, which no cell uses"),
    ({"baseline": "gold"}, "baseline is for a study with a reference and without axes"),
    ({"baseline": "gold", "reference": "gold", "axes": {"sampling.temperature": [1.0]}}, "without axes"),
    ({"title": "\x1b[2Jgone"}, "studies.0.title = '\\x1b[2Jgone' is wrong — it holds a control character"),
    ({"arms": {"rft": {"label": "a\u202eb"}}}, "studies.0.arms.rft.label = 'a\\u202eb' is wrong"),
    ({"arms": {"rft": {"about": "\x07"}}}, "it holds a control character"),
    ({"axes": {"x\x1b": {"on": {}}}}, "it holds a control character"),
    ({"axes": {"x": {"\x1bon": {}}}}, "it holds a control character"),
    ({"axes": {"sampling.seed": ["\x1b"]}}, "it holds a control character"),
    ({"not_run_here": "\x1b]0;x\x07"}, "it holds a control character"),
])
def test_mistakes_in_a_spec_are_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        spec_of(values(**changes), "small.yaml")
    assert str(raised.value).startswith("small.yaml: ") and told in str(raised.value), str(raised.value)
    assert visible(str(raised.value)) == str(raised.value)


def test_cells_are_counted_as_they_are_made() -> None:
    for name in ("quick", "ablations", "scaling"):
        for one in load_spec(name).studies:
            assert one.cells == len(list(cells_of(one))), one.name
    assert study(seeds=[1, 2, 3], arms={"gold": {"seeds": 2}, "rft": {"seeds": 9}}).cells == 5


@pytest.mark.parametrize("axis", [{"hint": {"a": {}, "b": {"prompts": {"teacher": "{{ question }} brief"}}}},
                                  {"engine.batch_size": [1, 2]}])
def test_an_axis_that_changes_nothing_is_refused(axis: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"main: the axis {next(iter(axis))} changes nothing for rft"):
        works(arms=["rft"], axes=axis)
    if "hint" in axis:
        assert works(arms=["rft", "kl-symmetry"], axes=axis)
    assert works(arms=["rft"], axes={"hint": {"a": {}}})
    assert len(works(arms=["uniform"], axes={"alpha.method": ["fixed", "entropy"], "alpha.fixed": [0.2, 0.3]})) == 4


@pytest.mark.parametrize(("changes", "told"), [
    ({"settings": {"alpha": {"methd": "x"}}}, "main default/kl-symmetry/1: unknown setting alpha.methd = 'x'"),
    ({"axes": {"sampling.temperature": [-1.0]}}, "sampling.temperature=-1.0/1: setting sampling.temperature = -1.0"),
    ({"regimes": {"odd": {"sizes": {"rounds": 0}}}}, "main odd/kl-symmetry/1: sizes"),
    ({"arms": {"rft": {"settings": {"sizes": 3}}}}, "main default/rft/1: sizes or pool are wrong"),
    ({"arms": {"rft": {"settings": {"alpha": 3}}}}, "main default/rft/1: setting alpha = 3 is wrong"),
    ({"base": "none"}, "data: mixture does not go with the recipe none — name sft"),
    ({"arms": {"mine": {"data": "reward"}}}, "not go with the recipe sft — name grpo or gspo or rloo"),
    ({"arms": {"mine": {"like": "dpo", "data": "mixture"}}}, "does not go with the recipe dpo"),
])
def test_mistakes_in_settings_name_the_cell(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        cells(**({"settings": {}} | changes))
    assert told in str(raised.value)


def test_a_file_is_read_and_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values()))
    assert load_spec(str(path)).name == "small"
    for absent in ("nope", str(tmp_path / "nope.yaml"), ""):
        with pytest.raises(ConfigError, match="there is no spec"):
            load_spec(absent)
    path.write_text("name: [")
    with pytest.raises(ConfigError, match="is not YAML"):
        load_spec(str(path))
    with pytest.raises(ConfigError, match="two studies have one name"):
        spec_of({"name": "x", "studies": values()["studies"] * 2}, "x")
