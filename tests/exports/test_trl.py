"""TRL's own command line trains two steps on each export, from the settings file beside it; prompt and completion meet
where the sampled tokens begin, and the end mark is learnt."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from transformers import AutoTokenizer

from qstar_core.exports.kinds import Kind
from qstar_core.store.integrity import download_verified
from tests.exports.conftest import Version
from tests.stages.scripted import write_checkpoint

SMALL = ("--max_steps", "2", "--per_device_train_batch_size", "4", "--report_to", "none", "--use_cpu", "true",
         "--save_strategy", "no", "--logging_steps", "1", "--bf16", "false", "--gradient_checkpointing", "false",
         "--disable_tqdm", "true")
EXTRA = {"grpo": ("--num_generations", "4", "--max_completion_length", "8")}


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("student") / "student", 1)


@contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@pytest.mark.parametrize("trainer", ["sft", "dpo", "kto", "grpo"])
def test_trl_trains_on_the_export_as_its_settings_say(version: Version, student: Path, tmp_path: Path,
                                                      trainer: str) -> None:
    done = version.export(f"trl-{trainer}", tmp_path / "out", validation=0.2)
    script = importlib.import_module(f"trl.scripts.{trainer}")
    with inside(done.folder):
        parsed = script.make_parser().parse_args_and_config([
            "--config", f"{trainer}.yaml", "--dataset_name", str(Path.cwd()), "--model_name_or_path", str(student),
            *SMALL, *EXTRA.get(trainer, ())])
        assert parsed[1].learning_rate in (2e-5, 5e-7, 1e-6) and parsed[1].eval_strategy.value == "epoch"
        script.main(*parsed)
        assert (Path("checkpoint") / "model.safetensors").is_file()


def sampled(version: Version, folder: Path) -> dict[str, list[int]]:
    """sample id → the ids that were drawn, end mark included."""
    ref = next(ref for ref in version.manifest.files if ref.key.endswith("traces.parquet"))
    download_verified(version.workspace.store, ref, folder / "traces.parquet")
    table = pq.read_table(folder / "traces.parquet", columns=["sample_id", "token"])
    return dict(zip(*(table.column(name).to_pylist() for name in ("sample_id", "token")), strict=True))


def trained_on(rows: Any, tokenizer: Any, student: Path) -> list[dict[str, list[int]]]:
    """What TRL makes of the rows: ids, and labels that are -100 where nothing is learnt."""
    from trl import SFTConfig, SFTTrainer

    settings = SFTConfig(output_dir="unused", use_cpu=True, report_to="none", bf16=False, max_length=None)
    trainer = SFTTrainer(model=str(student), args=settings, train_dataset=rows, processing_class=tokenizer)
    return list(trainer.train_dataset)


def test_the_student_learns_the_sampled_tokens_and_their_end_and_nothing_else(version: Version, student: Path,
                                                                              tmp_path: Path) -> None:
    tokens = sampled(version, tmp_path)
    sft, ids, hf = (load_dataset(str(version.export(name, tmp_path / f"{name}-{kind}", kind).folder), split="train")
                    for name, kind in (("trl-sft", None), ("trl-sft", Kind.TOKENS), ("hf", None)))
    tokenizer = AutoTokenizer.from_pretrained(version.student)
    prompts = {line.prompt.id: line.pair.student_ids for line in version.planned}
    learnt = trained_on(sft, tokenizer, student)
    assert len(learnt) == len(hf) and trained_on(ids, tokenizer, student) == [
        {name: row[name] for name in ("input_ids", "labels")} for row in learnt]
    for row, told in zip(learnt, hf, strict=True):
        prompt, drawn = prompts[told["prompt_id"]], tokens[told["sample_id"]]
        assert row["input_ids"] == [*prompt, *drawn]
        assert row["labels"] == [-100] * len(prompt) + drawn
        assert drawn[-1] == tokenizer.eos_token_id
