"""A round over each dataset family, found by its path alone, ends in a version: real models with random weights, whose
tokenizer knows bytes and so every text."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as cores
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qstar_core.gate.judge import CHECKS
from qstar_core.records import DatasetVersion, ModelRef, Prompt
from qstar_core.sources.splitting import HELD_OUT
from qstar_core.stages.engines import engine_for
from qstar_core.stages.generate import generate_shard
from qstar_core.stages.ingest import ingest
from qstar_core.stages.judging import judge_round
from qstar_core.stages.lines import load_lines, load_record
from qstar_core.stages.plan import Ingest, Plan
from qstar_core.stages.publishing import publish
from qstar_core.stages.refine import refine
from qstar_core.stages.reporting import write_report
from qstar_core.store.directory import DirectoryStore
from qstar_core.store.versions import Versions
from tests.sources.test_families import FAMILIES, FIXTURES
from tests.stages.scripted import Project, models_of, settings_of

TEMPLATE = ("{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
            "{% if add_generation_prompt %}<|assistant|>{% endif %}")
SPECIAL = ["<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
SETTINGS = {
    "filters": [], "gate__warn_only": list(CHECKS), "sampling__max_tokens": 3, "sampling__draws": 1,
    "round__prompts": 20, "round__shard_size": 20, "round__checkpoint_every": 20, "output__report_samples": 1,
    "engine__context": 1024, "engine__dtype": "float32", "prompts__teacher": "{{ question }}",
    "prompts__hints": ["answer", "solution"],
}


def write_byte_checkpoint(folder: Path, seed: int) -> Path:
    vocabulary = {sign: i for i, sign in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(cores.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|end|>", pad_token="<|end|>",
                                        additional_special_tokens=SPECIAL[1:], clean_up_tokenization_spaces=False)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    LlamaForCausalLM(LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=8, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=1024, eos_token_id=tokenizer.eos_token_id,
    )).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def byte_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelRef]:
    folder = tmp_path_factory.mktemp("bytes")
    return models_of(write_byte_checkpoint(folder / "student", 1), write_byte_checkpoint(folder / "teacher", 2))


@pytest.fixture
def bytes_project(tmp_path: Path, byte_models: dict[str, ModelRef], monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("QSTAR_HOME", str(tmp_path / "home"))
    return Project(DirectoryStore(tmp_path / "store"), byte_models, settings_of())


def published(project: Project) -> tuple[Plan, DatasetVersion]:
    plan = project.plan()
    for shard in plan.shards:
        generate_shard(project.workspace(), plan, shard.index,
                       lambda: engine_for(project.settings, plan.models, plan.context))
    refine(project.workspace(), plan)
    assert judge_round(project.workspace(), plan).failed() == ()
    write_report(project.workspace(), plan)
    return plan, publish(project.workspace(), plan)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_ends_in_a_version(bytes_project: Project, family: str) -> None:
    project = bytes_project.with_settings(source__path=str(FIXTURES / f"{family}.jsonl"), **SETTINGS)
    plan, version = published(project)
    _, reasons, _ = FAMILIES[family]
    ingested = plan.funnel[0]
    assert (ingested.entered, ingested.dropped) == (20, reasons)
    assert version.rows == plan.funnel[1].kept == 20 - sum(reasons.values())
    rows = [json.loads(line) for line in
            project.store.read(f"datasets/demo/versions/{version.version}/data/data.jsonl").splitlines()]
    for row, line in zip(rows, project.planned(plan), strict=True):
        assert row["messages"][-1]["role"] == "assistant" and row["prompt_id"] == line.prompt.id
        assert (line.prompt.question in line.pair.student_text and line.pair.student_ids != line.pair.teacher_ids) or (
            line.prompt.solution is None and (line.prompt.answer is None or line.prompt.kind == "code"))


def test_held_out_prompts_are_in_the_version_and_apart_from_its_rows(bytes_project: Project,
                                                                             tmp_path: Path) -> None:
    project = bytes_project.with_settings(source__path=str(FIXTURES / "deepscaler.jsonl"), source__validation=0.4,
                                          **SETTINGS)
    plan, version = published(project)
    record = load_record(project.store, ingest(project.workspace(), plan.round), Ingest)
    assert record.validation is not None
    held = load_lines(project.store, record.validation, Prompt)
    folder = Path(version.uri.removeprefix("file://"))
    found = datasets.load_dataset(str(folder), "validation", cache_dir=str(tmp_path))
    assert list(found) == ["validation"]
    assert [(row["prompt_id"], row["answer"]) for row in found["validation"]] == [(p.id, p.answer) for p in held]
    assert all([turn["role"] for turn in row["messages"]] == ["user"] for row in found["validation"])
    rows = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert list(rows) == ["train"] and len(rows["train"]) == version.rows
    assert not {row["prompt_id"] for row in rows["train"]} & {prompt.id for prompt in held}
    manifest = Versions(project.store, "demo").manifest(version.version)
    assert [(ref.key.rpartition("/")[2], ref.rows) for ref in manifest.files if "/validation/" in ref.key] == [
        ("validation.jsonl", len(held)), ("validation.parquet", len(held))]
    assert f"{len(held)} prompts of this round were held out" in (folder / "README.md").read_text()


def test_held_out_prompts_are_never_sampled_and_are_kept(bytes_project: Project) -> None:
    fixture = str(FIXTURES / "deepscaler.jsonl")
    project = bytes_project.with_settings(source__path=fixture, source__validation=0.4, **SETTINGS)
    record = load_record(project.store, ingest(project.workspace(), "r1"), Ingest)
    assert record.schema_name == "math" and record.columns == ("problem", "answer", "solution")
    assert record.validation is not None
    held, taken = (load_lines(project.store, ref, Prompt) for ref in (record.validation, record.prompts))
    assert 3 <= len(held) <= 13 and len(held) + len(taken) == 19
    assert not {prompt.question for prompt in held} & {prompt.question for prompt in taken}
    assert record.funnel.dropped[HELD_OUT] == len(held)
    assert record.funnel.entered == record.funnel.kept + sum(record.funnel.dropped.values()) == 20
    assert {line.prompt.id for line in project.planned(project.plan())} == {prompt.id for prompt in taken}
    more = bytes_project.with_settings(source__path=fixture, source__validation=0.6, **SETTINGS)
    wider = load_record(more.store, ingest(more.workspace(), "r1"), Ingest).validation
    assert wider is not None and {p.id for p in held} <= {p.id for p in load_lines(more.store, wider, Prompt)}
