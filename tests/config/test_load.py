"""Settings come from the file, the environment and the flags; every mistake is one line that helps."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from qstar_core.config import Settings, SourceSettings
from qstar_core.configload import load_settings, read_yaml, setting_names, validated
from qstar_core.errors import ConfigError

CONFIGS = Path(__file__).parents[2] / "configs"
VALUES: dict[str, list[Any]] = {
    "dataset": ["one", "two", "three"],
    "sampling.temperature": [0.5, 0.7, 1.3],
    "sampling.max_tokens": [8, 16, 32],
    "engine.deterministic": [True, False],
    "source.limit": [None, 5, 9],
    "gate.alpha.low": [0.0, 0.1, 0.3],
    "store.s3.region": ["here", "there", None],
    "prompts.student": ["{{ question }}", "Q: {{ question }}"],
}
LAYER = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in VALUES.items()})


def value_at(settings: Settings, dotted: str) -> Any:
    node: Any = settings
    for part in dotted.split("."):
        node = getattr(node, part)
    return node


def nested(dotted: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in dotted.items():
        *parents, leaf = name.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def variable(name: str) -> str:
    return "QSTAR__" + name.upper().replace(".", "__")


@given(file=LAYER, env=LAYER, flags=LAYER)
def test_flags_win_over_the_environment_and_that_over_the_file(
    tmp_path_factory: pytest.TempPathFactory, file: dict[str, Any], env: dict[str, Any], flags: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "layers.yaml"
    path.write_text(yaml.safe_dump(nested(file)), encoding="utf-8")
    variables = {variable(name): yaml.safe_dump(value).strip() for name, value in env.items()}
    found = load_settings(path, {**variables, "HOME": "/", "QSTAR_HOME": "/x"}, flags)
    for name in VALUES:
        expected = {**file, **env, **flags}.get(name, value_at(Settings(), name))
        assert value_at(found, name) == expected, name


def test_nothing_given_is_all_defaults(tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing\n")
    assert load_settings() == Settings() == load_settings(empty, {}, {})


def test_a_partly_given_section_keeps_the_rest_of_the_weaker_layer(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("sampling: {seed: 7, draws: 5}\ngate: {alpha: {low: 0.1, high: 0.6}}\n")
    found = load_settings(path, {"QSTAR__SAMPLING__DRAWS": "3"}, {"gate.alpha.high": 0.7})
    assert (found.sampling.seed, found.sampling.draws) == (7, 3)
    assert (found.gate.alpha.low, found.gate.alpha.high) == (0.1, 0.7)


def test_one_bound_of_a_range_may_be_set_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("gate: {alpha: {low: 0.1}}\n")
    default = Settings().gate
    found = load_settings(path, {"QSTAR__GATE__ESS_RATIO__HIGH": "1.5"}).gate
    assert (found.alpha.low, found.alpha.high) == (0.1, default.alpha.high)
    assert (found.ess_ratio.low, found.ess_ratio.high) == (default.ess_ratio.low, 1.5)


def test_an_anchor_shared_by_two_sections_is_changed_in_one_only(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("gate:\n  ess_ratio: &range {low: 0.7, high: 1.3}\n  guard_ess_ratio: *range\n")
    found = load_settings(path, flags={"gate.ess_ratio.low": 0.1})
    assert (found.gate.ess_ratio.low, found.gate.guard_ess_ratio.low) == (0.1, 0.7)


def test_the_environment_may_set_a_section_and_one_of_its_values_in_any_order() -> None:
    whole, one = ("QSTAR__SAMPLING", "{seed: 4, draws: 6}"), ("QSTAR__SAMPLING__SEED", "5")
    for pairs in ([whole, one], [one, whole]):
        sampling = load_settings(env=dict(pairs)).sampling
        assert (sampling.seed, sampling.draws) == (5, 6)


def test_a_section_given_a_plain_value_beside_one_of_its_own_is_refused() -> None:
    for pairs in ([("QSTAR__SAMPLING", "3"), ("QSTAR__SAMPLING__SEED", "1")],
                  [("QSTAR__SAMPLING__SEED", "1"), ("QSTAR__SAMPLING", "3")]):
        with pytest.raises(ConfigError, match=r"sampling = 3 contradicts sampling\.seed"):
            load_settings(env=dict(pairs))


MISTAKES: list[tuple[dict[str, Any], list[str]]] = [
    ({"sampling": {"temprature": 1}}, ["sampling.temprature", "1", "did you mean sampling.temperature?"]),
    ({"smapling": {"seed": 1}}, ["smapling", "did you mean sampling?"]),
    ({"datset": "x"}, ["datset", "'x'", "did you mean dataset?"]),
    ({"zzzzzz": 9}, ["zzzzzz", "9", "qstar config schema"]),
    ({"store": {"s3": {"regoin": "x"}}}, ["store.s3.regoin", "did you mean store.s3.region?"]),
    ({"sampling": {"draws": "many"}}, ["sampling.draws", "'many'", "integer"]),
    ({"sampling": {"draws": 1.5}}, ["sampling.draws", "1.5", "integer"]),
    ({"sampling": {"draws": 0}}, ["sampling.draws", "0", "greater than or equal to 1"]),
    ({"sampling": {"temperature": 0}}, ["sampling.temperature", "0", "greater than or equal to 0.000001"]),
    ({"sampling": {"temperature": 11}}, ["sampling.temperature", "11", "less than or equal to 10"]),
    ({"alpha": {"fixed": 1.5}}, ["alpha.fixed", "1.5", "less than or equal to 1"]),
    ({"alpha": {"fixed": float("nan")}}, ["alpha.fixed", "nan"]),
    ({"alpha": {"min": 0.9, "max": 0.1}}, ["alpha", "alpha.min (0.9) is above alpha.max (0.1)"]),
    ({"gate": {"alpha": {"low": 0.9, "high": 0.1}}}, ["gate.alpha", "low (0.9) is above high (0.1)"]),
    ({"gate": {"alpha": {"low": 0.9}}}, ["gate.alpha.high", "missing"]),
    ({"gate": {"alpha": {"low": float("nan"), "high": 1}}}, ["gate.alpha.low", "nan", "finite"]),
    ({"gate": {"max_kl_difference": float("inf")}}, ["gate.max_kl_difference", "inf", "finite"]),
    ({"engine": {"dtype": "float8"}}, ["engine.dtype", "'float8'", "bfloat16"]),
    ({"dataset": "Has Spaces"}, ["dataset", "'Has Spaces'", "pattern"]),
    ({"dataset": "../up"}, ["dataset", "'../up'"]),
    ({"filters": [{"nam": "finish"}]}, ["filters.0", "name"]),
    ({"filters": "finish"}, ["filters", "'finish'", "tuple"]),
    ({"sampling": None}, ["sampling", "None", "dictionary"]),
    ({1: 2}, ["1", "strings"]),
]


@pytest.mark.parametrize(("values", "told"), [
    ({"training": {"recipe": "sft", "learning_rat": 1}}, "did you mean training.learning_rate?"),
    ({"training": {"recipe": "dpo", "beto": 1}}, "did you mean training.beta?"),
    ({"evaluation": {"sets": [{"name": "a", "roles": "target"}]}}, "did you mean evaluation.sets.0.role?"),
    ({"filters": [{"name": "a", "option": {}}]}, "did you mean filters.0.options?"),
    ({"filters": [{"name": "a", "zzz": {}}]}, "use name, action, options"),
    ({"temperature": 1}, "did you mean sampling.temperature?"),
    ({"training": {"sft": {"learning_rate": 1}, "recipe": "sft"}}, "`qstar config schema` lists the settings"),
])
def test_a_hint_is_another_setting_where_the_mistake_was_made(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(values)
    assert caught.value.fix == told


@given(section=st.sampled_from(sorted({name.rpartition(".")[0] for name in setting_names()} - {""})),
       key=st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12))
def test_no_hint_proposes_what_was_refused(section: str, key: str) -> None:
    try:
        load_settings(flags={f"{section}.{key}": 1})
    except ConfigError as refused:
        proposed = refused.fix.removeprefix("did you mean ").removesuffix("?")
        assert not f"{section}.{key}.".startswith(f"{proposed}.")


@pytest.mark.parametrize(("values", "told"), MISTAKES, ids=lambda value: str(value)[:40])
def test_a_mistake_is_one_line_that_names_key_value_and_expectation(values: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(values)
    line = str(caught.value)
    assert "\n" not in line
    assert all(part in line for part in told), line
    assert caught.value.exit_code == 2


def test_no_line_repeats_a_whole_section_or_a_long_value() -> None:
    with pytest.raises(ConfigError) as caught:
        validated({"evaluation": {"draws": 1}})
    assert str(caught.value).startswith("setting evaluation is wrong — evaluation.pass_at has a k above")
    for values in ({"dataset": "x" * 5000}, {"unknown": "x" * 5000}):
        with pytest.raises(ConfigError) as caught:
            validated(values)
        assert "x" * 100 in str(caught.value) and "x" * 130 not in str(caught.value)


def test_several_mistakes_are_counted() -> None:
    with pytest.raises(ConfigError, match=r"and 1 more"):
        validated({"sampling": {"draws": 0, "seed": "x"}})


@pytest.mark.parametrize("env", [
    {"QSTAR__SAMPLING__TEMPRATURE": "1"}, {"QSTAR__": "1"}, {"QSTAR__NO__SUCH__THING": "1"},
    {"QSTAR__SAMPLING__SEED__DEEPER": "1"}, {"QSTAR__SAMPLING__SEED": "[1"}, {"QSTAR__DATASET": "2026-13-45"},
])
def test_an_environment_variable_that_sets_nothing_is_refused(env: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(env=env)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "told"), [
    (b"a: [1, 2", "is not YAML"), (b"a: b: c", "is not YAML"), (b"- a\n- b\n", "holds a list"), (b"just words", "str"),
    (b"dataset: \xff\xfe", "UTF-8"), (b"a: 2026-13-45", "is not YAML"), (b"\x00", "is not YAML"),
    (b"x: !!python/object/apply:os.system ['true']", "is not YAML"),
])
def test_a_file_that_cannot_be_read_as_settings(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    line = str(caught.value)
    assert "broken.yaml" in line and told in line and "\n" not in line


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no settings file at .*nowhere\.yaml"):
        load_settings(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="cannot read"):
        load_settings(tmp_path)


def test_a_byte_order_mark_does_not_hide_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfdataset: night\n")
    assert load_settings(path).dataset == "night"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_ready_configuration_is_valid(path: Path) -> None:
    from qstar_core.stages.planning import check_settings

    settings = load_settings(path)
    builtin = settings.model_copy(update={"source": SourceSettings()})  # base.yaml names a file of the reader's
    check_settings(builtin if settings.source.path == "prompts.jsonl" else settings)


def test_there_are_ready_configurations() -> None:
    assert {"base", "tiny", "distillation", "math"} <= {path.stem for path in CONFIGS.glob("*.yaml")}


def sections(model: type[BaseModel] = Settings) -> Iterator[type[BaseModel]]:
    yield model
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from sections(field.annotation)


def test_every_setting_says_what_it_is_for() -> None:
    silent = [
        f"{model.__name__}.{name}" for model in sections() for name, field in model.model_fields.items()
        if not (field.description or (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)))
    ]
    assert [name for name in silent if not name.startswith("Range.")] == []


def test_settings_are_frozen_and_strict_everywhere() -> None:
    for model in sections():
        assert model.model_config.get("frozen") and model.model_config.get("extra") == "forbid", model
    with pytest.raises(ValidationError):
        Settings().sampling.seed = 3  # type: ignore[misc]


def test_every_name_that_is_offered_can_be_set() -> None:
    for name in setting_names():
        if name == "filters":
            continue
        default = value_at(Settings(), name)
        assert load_settings(flags={name: list(default) if isinstance(default, tuple) else default}) is not None


def test_settings_survive_json() -> None:
    for path in CONFIGS.glob("*.yaml"):
        settings = load_settings(path)
        assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_only_its_own_variables_are_read() -> None:
    assert load_settings(env={k: v for k, v in os.environ.items() if not k.startswith("QSTAR__")}) == Settings()


def test_a_leak_phrase_that_every_row_holds_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"gate\.leak_phrases"):
        load_settings(flags={"gate.leak_phrases": [""]})
