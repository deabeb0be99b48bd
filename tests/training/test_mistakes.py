"""The mistakes that training pipelines are known for, each of them looked for."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from qstar_core.checkpoints import fetch_checkpoint
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.errors import ConfigError, DataError, ModelError, TrainingError
from qstar_core.models import resolve
from qstar_core.recipes import Training
from qstar_core.records import JsonObject
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.objects import ObjectStore
from qstar_core.training.data import load_rows
from qstar_core.training.hardware import hardware_for, portions_for
from qstar_core.training.kinds import Shape, shape_of
from qstar_core.training.libraries import prepare
from qstar_core.training.rows import arranged, folder_rows
from qstar_core.training.students import load_student
from qstar_core.training.traced import Drawn
from qstar_core.training.trainers.base import Parts
from qstar_core.training.trainers.building import build_trainer
from tests.exports.conftest import Version
from tests.training.runs import GROUPED, QUESTIONS, asked, completions, pairs, request_of, said, trained, write_rows


def trainer_of(recipe: Training, rows: Path, student: Path, scratch: Path) -> Any:
    prepare()
    ref = resolve(str(student), None)
    hardware = hardware_for(recipe)
    shape = shape_of(recipe)
    scratch.mkdir()
    found = arranged(folder_rows(rows, shape), shape, 0.0, 0, scratch, "rows")
    trained_one, teacher = (load_student(ref, recipe.peft, hardware, 0) for _ in range(2))
    return build_trainer(Parts(recipe, trained_one, found, hardware, portions_for(recipe, 1), scratch / "out", [],
                               teacher.model))


@pytest.fixture
def pad_is_eos(tmp_path: Path) -> Path:
    """The student, with one token for padding and for the end."""
    folder = Path(shutil.copytree(resolve("builtin:tiny-student", None).path, tmp_path / "pad-is-eos"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer.save_pretrained(folder)
    return folder


def labelled(folder: Path) -> Path:
    return write_rows(folder, [{"prompt": asked(question), "completion": said("answer 1" if i % 2 else "answer 2 2"),
                                "label": bool(i % 2)} for i, question in enumerate(QUESTIONS)])


@pytest.mark.parametrize(("recipe", "make"), [("sft", completions), ("dpo", pairs), ("kto", labelled),
                                              ("orpo", pairs), ("cpo", pairs), ("gkd", completions)])
def test_the_end_mark_is_learnt_though_it_pads(recipe: str, make: Callable[[Path], Path], pad_is_eos: Path,
                                               tmp_path: Path) -> None:
    trainer = trainer_of(request_of(recipe, "x").recipe, make(tmp_path / "rows"), pad_is_eos, tmp_path / "scratch")
    eos = trainer.processing_class.eos_token_id
    assert trainer.processing_class.pad_token_id == eos
    batch = next(iter(trainer.get_train_dataloader()))
    learnt = learnt_ids(batch)
    assert learnt and all(ids[-1] == eos and ids.count(eos) == 1 for ids in learnt), "the end mark, once, at the end"


def learnt_ids(batch: dict[str, Any]) -> list[list[int]]:
    """Ids that have a loss, row by row, whatever the trainer calls them."""
    found = []
    for name in ("labels", "chosen_labels", "rejected_labels"):
        for row in batch.get(name, ()):
            found.append([int(id_) for id_ in row if id_ != -100])
    if "completion_mask" in batch:
        found += [ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["completion_mask"],
                                                                 strict=True)]
    return found


def test_only_the_completion_is_learnt(tmp_path: Path) -> None:
    student = Path(resolve("builtin:tiny-student", None).path)
    trainer = trainer_of(request_of("sft", "x").recipe, completions(tmp_path / "rows"), student, tmp_path / "scratch")
    texts = {trainer.processing_class.decode(ids) for ids in learnt_ids(next(iter(trainer.get_train_dataloader())))}
    assert texts == {f"a) {i} + 1 = {i + 1} ; answer {i + 1} <|end|>" for i in range(12)}


def test_a_template_that_writes_no_end_mark_is_refused(tmp_path: Path, store: ObjectStore) -> None:
    folder = Path(shutil.copytree(resolve("builtin:tiny-student", None).path, tmp_path / "endless"))
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|end|>", ""))
    with pytest.raises(ModelError, match="writes no end mark after a reply"):
        trained(store, request_of("sft", completions(tmp_path / "rows"), student=str(folder)))


def test_rows_that_are_all_cut_are_refused(tmp_path: Path, store: ObjectStore) -> None:
    with pytest.raises(DataError, match=r"are all longer than training\.max_length \(20\)"):
        trained(store, request_of("sft", completions(tmp_path / "rows"), max_length=20))


def split(rows: list[JsonObject], share: float, folder: Path, seed: int = 0) -> list[list[str]]:
    """The questions of both splits."""
    folder.mkdir()
    made = arranged((("train", row) for row in rows), Shape.COMPLETION, share, seed, folder, "rows")
    return [[row["prompt"][0]["content"] for row in table] for table in (made.train, made.validation)]


def test_draws_of_one_prompt_stay_in_one_split(tmp_path: Path) -> None:
    rows = [{"prompt": asked(question), "completion": said(f"answer {draw}")} for question in QUESTIONS
            for draw in range(4)]
    train, validation = split(rows, 0.4, tmp_path / "a")
    assert train and validation and not set(train) & set(validation)
    assert len(train) + len(validation) == len(rows)
    assert split(rows, 0.4, tmp_path / "b") == [train, validation] != split(rows, 0.4, tmp_path / "c", seed=5)


def test_a_folder_whose_splits_share_a_prompt_is_refused(tmp_path: Path, store: ObjectStore) -> None:
    folder = pairs(tmp_path / "rows")
    write_rows(folder, [{"prompt": asked(QUESTIONS[3]), "chosen": said("a"), "rejected": said("b")}],
               "validation.jsonl")
    with pytest.raises(DataError, match=f"has a prompt in both splits: '{QUESTIONS[3][:20]}.* — split it by prompts"):
        trained(store, request_of("dpo", folder))


def test_pairs_that_say_nothing_are_left_out_and_counted(tmp_path: Path, store: ObjectStore) -> None:
    folder = pairs(tmp_path / "rows")
    with (folder / "train.jsonl").open("a") as lines:
        for question in QUESTIONS[:3]:
            lines.write(json.dumps({"prompt": asked(question), "chosen": said("answer"), "rejected": said("answer")})
                        + "\n")
    _, told = trained(store, request_of("dpo", folder, max_steps=1))
    assert told.texts == ["12 rows", "3 pairs left out: chosen and rejected are the same"]
    write_rows(folder, [{"prompt": asked("x"), "chosen": said("answer"), "rejected": said("answer")}])
    with pytest.raises(DataError, match="no rows to learn from: every chosen text is the rejected one"):
        trained(store, request_of("dpo", folder))


def test_labels_of_one_class_are_refused(tmp_path: Path, store: ObjectStore) -> None:
    folder = write_rows(tmp_path / "rows", [{"prompt": asked(question), "completion": said("answer 1"), "label": True}
                                            for question in QUESTIONS])
    with pytest.raises(DataError, match="has good completions only — KTO compares good with bad ones"):
        trained(store, request_of("kto", folder))
    with pytest.raises(ConfigError, match="batch_size and micro_batch are at least 2"):
        request_of("kto", folder, micro_batch=1)


@pytest.mark.parametrize("recipe", ["sft", "dpo", "kto", "grpo"])
def test_an_empty_dataset_is_refused(recipe: str, tmp_path: Path, store: ObjectStore) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"has no \.jsonl file"):
        trained(store, request_of(recipe, tmp_path / "none"))
    with pytest.raises(DataError, match="has no rows to learn from"):
        trained(store, request_of(recipe, write_rows(tmp_path / "empty", [])))


@pytest.mark.parametrize(("recipe", "line", "match"), [
    ("sft", "nonsense", "line 1 is not JSON"), ("sft", "[" * 100_000, "line 1 is not JSON"),
    ("sft", '{"prompt": [{"role": "user", "content": "\\ud800"}], "completion": []}', "line 1 is not JSON in UTF-8"),
    ("sft", '{"prompt": [{"role": "boss", "content": "q"}], "completion": []}', "prompt is no list of messages"),
    ("sft", '{"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "user", "content": "a"}]}',
     "completion begins with a message of the role 'user'"), ("sft", "[1]", "has no 'prompt'"),
    ("sft", '{"prompt": "text", "completion": "text"}', "prompt is no list of messages"),
    ("sft", '{"prompt": [], "completion": []}', "prompt is no list of messages"),
    ("dpo", '{"prompt": [{"role": "user", "content": "q"}]}', "has no 'chosen'"),
    ("kto", '{"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}], '
            '"label": "yes"}', "label is 'yes'"),
    ("grpo", '{"prompt": [{"role": "user", "content": "q"}], "solution": 3}', "solution is 3"),
    ("weighted_sft", "{}", "has no traces"),
])
def test_a_bad_row_is_named(recipe: str, line: str, match: str, tmp_path: Path, store: ObjectStore) -> None:
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=match):
        trained(store, request_of(recipe, tmp_path / "rows"))


def test_a_file_that_is_no_text_and_a_template_that_refuses_are_one_line(tmp_path: Path, store: ObjectStore) -> None:
    folder = completions(tmp_path / "rows")
    (folder / "train.jsonl").write_bytes(b"\xff\xfe{}\n")
    with pytest.raises(DataError, match="line 1 is not JSON in UTF-8"):
        trained(store, request_of("sft", folder))
    student = Path(shutil.copytree(resolve("builtin:tiny-student", None).path, tmp_path / "refusing"))
    template = student / "chat_template.jinja"
    template.write_text("{% if messages|length > 0 %}{{ raise_exception('never') }}{% endif %}" + template.read_text())
    with pytest.raises(TrainingError, match="sft: never"):
        trained(store, request_of("sft", completions(folder), student=str(student)))


def test_a_group_of_equal_rewards_teaches_nothing_and_is_no_nan(version: Version) -> None:
    class Constant:
        name = "constant"

        def __call__(self, prompts: Sequence[Any], given: Sequence[str], answers: Sequence[str]) -> list[float | None]:
            return [0.5] * len(given)

    store = version.workspace.store
    request = request_of("grpo", version.manifest.version, **GROUPED, reward="model", beta=0.0, weight_decay=0.0,
                         max_steps=2)
    made, told = trained(store, request, Constant())
    assert told.curve("reward_std") == [0.0, 0.0] and len(told.curve()) == 2
    now = load_file(fetch_checkpoint(store, made) / "model.safetensors")
    before = load_file(Path(resolve("builtin:tiny-student", None).path) / "model.safetensors")
    assert all(torch.equal(now[name], before[name]) for name in before)


def test_too_few_questions_for_a_step_are_told(tmp_path: Path, store: ObjectStore) -> None:
    folder = write_rows(tmp_path / "rows", [{"prompt": asked(QUESTIONS[0]), "solution": "2"}])
    with pytest.raises(DataError, match="there are 1 prompts, and a step takes 8"):
        trained(store, request_of("grpo", folder, **GROUPED))
    with pytest.raises(ConfigError, match=r"batch_size \(30\) is no multiple of generations \(4\)"):
        request_of("grpo", folder, **GROUPED | {"batch_size": 30})


def test_the_verifier_tells_right_from_wrong(tmp_path: Path) -> None:
    from qstar_core.training.rewards import VerifierReward

    reward = VerifierReward()
    try:
        assert reward([asked("q")] * 4, ["answer 2", "answer 3", "none", "so \\boxed{\\frac{2}{1}}"],
                      ["2", "2", "2", "$2$"]) == [1.0, 0.0, 0.0, 1.0]
    finally:
        reward.close()


def test_early_stopping_keeps_the_best(tmp_path: Path, store: ObjectStore) -> None:
    chosen = {"validation": 0.3, "patience": 1, "evaluate_every": 1, "learning_rate": 0.5, "max_steps": 10}
    made, told = trained(store, request_of("sft", completions(tmp_path / "rows"), **chosen))
    curve = told.curve("eval_loss")
    assert 2 <= len(curve) < 10 and curve[1] > curve[0], curve
    with pytest.raises(ConfigError, match=r"training\.patience is set, and there is no validation split"):
        trained(store, request_of("sft", completions(tmp_path / "rows"), patience=1, evaluate_every=1))
    assert made.metrics["eval_loss"] == min(curve)
    one = {**chosen, "patience": None, "max_steps": 1}
    best = trained(DirectoryStore(tmp_path / "other"), request_of("sft", tmp_path / "rows", **one))[0]
    assert made.sha256 == best.sha256, "the weights are those of the best look"


def test_traces_of_another_tokenizer_are_refused(version: Version, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(resolve("builtin:tiny-student", None).path, tmp_path / "other"))
    text = (folder / "tokenizer.json").read_text()
    found = json.loads(text)
    words = found["model"]["vocab"]
    words["buys"], words["answer"] = words["answer"], words["buys"]
    (folder / "tokenizer.json").write_text(json.dumps(found))
    with pytest.raises(DataError, match="do not spell its completion — train a student with the tokenizer"):
        trained(version.workspace.store, request_of("weighted_sft", version.manifest.version, student=str(folder)))


def test_rows_that_were_exported_name_the_version_they_come_from(version: Version, tmp_path: Path) -> None:
    def source_of(folder: Path) -> str | None:
        scratch = Path(tempfile.mkdtemp(dir=tmp_path))
        return load_rows(version.workspace, str(folder), recipe, Drawn(tokenizer, 128), scratch).version

    recipe = request_of("sft", "rows").settings.training
    student = resolve("builtin:tiny-student", None)
    tokenizer = ChatTokenizer(student.name, Path(student.path))
    out = version.export("trl-sft", tmp_path / "out").folder
    assert source_of(out) == f"demo {version.manifest.version}"
    for broken in ("{", "[]", '{"dataset": "demo"}', '{"dataset": "demo", "version": "a\\u001b[31m"}'):
        (out / "export.json").write_text(broken)
        with pytest.raises(DataError, match=r"export\.json does not name the dataset version"):
            source_of(out)
    (out / "export.json").unlink()
    assert source_of(out) is None
