"""Every format and kind: it loads with `datasets`, its rows are what the trainer takes, its settings name its files."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from datasets import Dataset, load_dataset

from qstar_core.exports.kinds import Kind
from qstar_core.exports.registry import FORMATS
from tests.exports.conftest import Version
from tests.exports.schemas import SCHEMAS

ALL = [(name, kind) for name, format_ in FORMATS.items() for kind in format_.kinds]


def loaded(folder: Path, split: str = "train") -> Dataset:
    return load_dataset(str(folder), split=split)


@pytest.mark.parametrize(("name", "kind"), ALL, ids=lambda value: str(getattr(value, "value", value)))
def test_it_loads_and_its_rows_are_what_the_trainer_takes(version: Version, tmp_path: Path, name: str,
                                                          kind: Kind) -> None:
    done = version.export(name, tmp_path / "out", kind)
    rows = loaded(done.folder)
    assert len(rows) == done.made.rows["train"] > 3
    if (name, kind) in SCHEMAS:
        for row in rows:
            jsonschema.validate(row, SCHEMAS[name, kind])
    else:
        assert name == "hf" and set(rows.column_names) >= {"messages", "prompt_id", "answer", "student_sha256"}
    record = json.loads((done.folder / "export.json").read_text())
    assert (record["format"], record["kind"], record["rows"]) == (name, kind.value, done.made.rows)


def test_the_kinds_hold_what_they_say(version: Version, tmp_path: Path) -> None:
    sft, dpo, kto, grpo = (loaded(version.export(name, tmp_path / name).folder)
                           for name in ("trl-sft", "trl-dpo", "trl-kto", "trl-grpo"))
    kept = {(line.prompt.question, ) for line in version.planned}
    assert {(row["prompt"][-1]["content"],) for row in grpo} == kept, "every prompt, also those without a kept draw"
    assert len(sft) == version.manifest.rows == sum(kto["label"])
    wrong = next(step for step in version.manifest.funnel if step.stage == "answer").dropped["wrong answer"]
    assert len(kto) - sum(kto["label"]) == wrong
    answers = {line.prompt.question: line.prompt.answer for line in version.planned}
    for row in dpo:
        gold = answers[row["prompt"][-1]["content"]]
        assert row["chosen"][0]["content"].endswith(f"answer {gold}")
        assert not row["rejected"][0]["content"].endswith(f"answer {gold}")
    assert {row["prompt"][-1]["content"]: row["solution"] for row in grpo} == answers


def test_no_hint_of_the_teacher_is_in_any_file(version: Version, tmp_path: Path) -> None:
    hints = {line.pair.teacher_text.removeprefix(line.pair.student_text.split(" <|end|>")[0]).split(" <|end|>")[0]
             for line in version.planned}
    hints = {hint.strip() for hint in hints}
    assert len(hints) > 10 and all(hint.startswith("ref ") for hint in hints), "the hints would be found"
    for name, kind in ALL:
        done = version.export(name, tmp_path / f"{name}-{kind.value}", kind)
        text = json.dumps([list(loaded(done.folder))]) + "".join(
            path.read_text() for path in done.folder.iterdir() if path.is_file())
        assert not [hint for hint in hints if hint in text], name


def test_a_split_is_made_by_prompts(version: Version, tmp_path: Path) -> None:
    for name in ("trl-sft", "hf", "verl", "llama-factory", "axolotl", "ms-swift", "openrlhf"):
        done = version.export(name, tmp_path / name, validation=0.3)
        train, held_out = (loaded(done.folder, split) for split in ("train", "validation"))
        assert (len(train), len(held_out)) == (done.made.rows["train"], done.made.rows["validation"])
        told = "".join(path.read_text() for path in done.folder.iterdir() if path.suffix in (".yaml", ".sh"))
        assert name == "hf" or "validation" in told
    rows = [{row["prompt"][-1]["content"] for row in loaded(tmp_path / "trl-sft", split)}
            for split in ("train", "validation")]
    assert all(rows) and not rows[0] & rows[1]


def test_rows_go_into_files_of_bounded_size_and_none_is_lost(version: Version, tmp_path: Path) -> None:
    for name in ("trl-sft", "hf"):
        whole, cut = (version.export(name, tmp_path / f"{name}-{most}", rows_per_file=most) for most in (1000, 7))
        assert len(whole.made.train) == 1 and len(cut.made.train) == -(-version.manifest.rows // 7) > 2
        assert list(loaded(whole.folder)) == list(loaded(cut.folder))


def named_files(folder: Path, name: str) -> list[str]:
    """The data files and folders that a format's settings point to."""
    if name == "llama-factory":
        info = json.loads((folder / "dataset_info.json").read_text())
        settings: dict[str, Any] = yaml.safe_load((folder / "train.yaml").read_text())
        assert {settings["dataset"], settings["eval_dataset"]} == set(info)
        return [entry["file_name"] for entry in info.values()]
    if name == "axolotl":
        settings = yaml.safe_load((folder / "axolotl.yaml").read_text())
        return [file for part in ("datasets", "test_datasets") for file in settings[part][0]["data_files"]]
    words = shlex.split((folder / "train.sh").read_text())
    lists = [word.split("=")[1].strip("[]").split(",") for word in words if word.startswith("data.")
             and "_files=" in word]
    return [word for words in lists for word in words] + [
        word for word in words if word.startswith(("train/", "validation/", "./"))]


@pytest.mark.parametrize("name", ["llama-factory", "axolotl", "ms-swift", "openrlhf", "verl"])
def test_the_settings_name_files_that_are_there(version: Version, tmp_path: Path, name: str) -> None:
    done = version.export(name, tmp_path / "out", validation=0.3, rows_per_file=10)
    found = named_files(done.folder, name)
    assert len(found) >= 2 and all((done.folder / file).exists() for file in found)
    if name in ("axolotl", "ms-swift", "verl"):
        assert sorted(found) == sorted((*done.made.train, *done.made.validation))


def test_the_card_is_a_card(version: Version, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    done = version.export("trl-dpo", tmp_path / "out", pairs={"balance_length": True, "per_prompt": 5})
    card = DatasetCard.load(done.folder / "README.md")
    assert card.data.to_dict()["size_categories"] == ["n<1K"]
    assert done.gap is not None and done.gap.told in card.text
    assert done.gap.chosen_longer == done.gap.rejected_longer
    assert version.manifest.models["student"].sha256 in card.text
