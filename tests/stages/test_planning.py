"""A plan names every sample once, and its hashes change with what decides the samples and with nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qstar_core.errors import ConfigError, DataError, IntegrityError, ModelError
from qstar_core.records import Prompt, RowReject
from qstar_core.stages.ingest import ingest
from qstar_core.stages.lines import load_lines
from qstar_core.stages.plan import Plan, load_plan
from qstar_core.stages.planning import plan_round
from tests.stages.scripted import Project, models_of, write_checkpoint


def all_ids(project: Project, plan: Plan) -> list[str]:
    return [name for line in project.planned(plan) for name in line.sample_ids]


def test_a_plan_that_exists_stands(project: Project) -> None:
    first = project.plan(run_id="first")
    before = {info.key: info.etag for info in project.store.list("")}
    assert project.plan(run_id="second") == first
    assert {info.key: info.etag for info in project.store.list("")} == before
    assert first.run_id == "first"


def test_of_two_planners_at_once_one_plan_stands(project: Project) -> None:
    """The second planner looks for a plan before the first has written it."""
    plan = project.plan(run_id="first")

    class Blind:
        def __getattr__(self, name: str) -> Any:
            return (lambda key: None) if name == "head" else getattr(project.store, name)

    workspace = project.workspace()
    key = plan_round(type(workspace)(workspace.settings, Blind()), ingest(workspace, "r1"), project.models, "second")
    assert load_plan(project.store, key) == plan


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("draws", [1, 3])
def test_shards_cover_every_sample_exactly_once(project: Project, size: int, draws: int) -> None:
    project = project.with_settings(round__shard_size=size, sampling__draws=draws, round__prompts=5)
    plan = project.plan()
    ids = all_ids(project, plan)
    assert len(ids) == len(set(ids)) == plan.samples == 5 * draws
    position = 0
    for index, shard in enumerate(plan.shards):
        assert (shard.index, shard.first_sample) == (index, position)
        position += shard.samples
    lines = project.planned(plan)
    assert [line.first_sample for line in lines] == [i * draws for i in range(5)]
    assert all(len(line.sample_ids) == draws for line in lines)
    assert position == plan.samples


def test_new_rounds_have_new_samples_even_of_old_prompts(project: Project) -> None:
    project = project.with_settings(source__limit=4, round__prompts=3, sampling__draws=2)
    plans = [project.plan(f"r{i}") for i in range(5)]
    ids = [name for plan in plans for name in all_ids(project, plan)]
    assert len(ids) == len(set(ids)) == (3 + 1) * 2 * 2 + 3 * 2
    assert [project.planned(plan)[0].first_draw for plan in plans] == [0, 0, 2, 2, 4]
    assert len({plan.version for plan in plans}) == 5


DECISIVE: list[dict[str, Any]] = [
    {"alpha__method": "fixed"}, {"alpha__fixed": 0.3}, {"alpha__min": 0.1}, {"alpha__tolerance": 1e-4},
    {"sampling__sharpen": 2.0}, {"support__top_k": 20}, {"support__apply_to": "teacher"},
    {"alpha__policy__name": "by_disagreement"}, {"alpha__policy": {"name": "by_position", "options": {"tokens": 9}}},
    {"alpha__teacher_first_token": True}, {"alpha__teacher_special_tokens": True},
    {"sampling__temperature": 0.7}, {"sampling__seed": 5}, {"prompts__student": "{{ question }} ."},
    {"prompts__teacher": "{{ question }} now"}, {"prompts__teacher_system": "sort"},
]
INDIFFERENT: list[dict[str, Any]] = [
    {"engine__batch_size": 3}, {"engine__dtype": "bfloat16"}, {"round__shard_size": 2}, {"engine__threads": 1},
    {"engine__speculation": 4}, {"engine__deterministic": False}, {"round__checkpoint_every": 9}, {"gate__min_rows": 3},
    {"output__report_samples": 1}, {"sampling__max_tokens": 5}, {"sampling__draws": 3}, {"filters": []},
    {"engine__device": "auto"},
]


@pytest.mark.parametrize("change", DECISIVE, ids=str)
def test_what_decides_the_samples_changes_their_names(project: Project, change: dict[str, Any]) -> None:
    plan, other = project.plan(), project.with_settings(**change).plan()
    assert other.sampling_hash != plan.sampling_hash and other.version != plan.version
    assert not set(all_ids(project, plan)) & set(all_ids(project, other))


@pytest.mark.parametrize("change", INDIFFERENT, ids=str)
def test_how_they_are_made_does_not(project: Project, change: dict[str, Any]) -> None:
    plan, other = project.plan(), project.with_settings(**change).plan()
    assert other.sampling_hash == plan.sampling_hash
    assert set(all_ids(project, plan)) <= set(all_ids(project, other))


def test_batch_and_dtype_leave_the_version_and_gate_and_filters_do_not(project: Project) -> None:
    plan = project.plan()
    for change in ({"engine__batch_size": 3}, {"engine__dtype": "bfloat16"}, {"engine__speculation": 4},
                   {"round__checkpoint_every": 9}):
        assert project.with_settings(**change).plan() == plan
    for change in ({"gate__min_rows": 3}, {"filters": []}, {"output__traces": False}):
        other = project.with_settings(**change).plan()
        assert other.version != plan.version
        assert other.key == plan.key, "the finished shards are shared"


def test_other_weights_are_other_samples(project: Project, tmp_path: Path) -> None:
    plan = project.plan()
    student = Path(project.models["student"].path)
    other = Project(project.store, models_of(student, write_checkpoint(tmp_path / "t", 3)), project.settings).plan()
    assert other.sampling_hash != plan.sampling_hash


def test_prompts_that_cannot_be_rendered_are_counted_with_their_reason(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"question":"sort 1 2"}\n{"question":"sort unicorns"}\n{"question":"sort <|end|>"}\n')
    project = project.with_settings(source__path=str(path))
    plan = project.plan()
    assert plan.funnel[1].entered == 3 == plan.funnel[0].kept
    assert plan.funnel[1].dropped == {"the student's tokenizer cannot encode the prompt": 1,
                                      "the text contains the control token <|end|>": 1}
    assert [line.prompt.question for line in project.planned(plan)] == ["sort 1 2"]
    assert [reject.text for reject in load_lines(project.store, plan.rejects[1], RowReject)] == [
        "sort unicorns", "sort <|end|>"]
    path.write_text('{"question":"sort unicorns"}\n')
    with pytest.raises(DataError, match=r"none of 1 prompt can be used \(the student's tokenizer cannot encode"):
        project.plan("r2")


def test_prompts_in_which_the_student_reads_the_answer_are_counted(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"question":"sort 1 2","answer":"1 2"}\n{"question":"sort 12 1","answer":"1 12"}\n'
                    '{"question":"sort 2 1"}\n')
    project = project.with_settings(source__path=str(path))
    assert (project.plan().answers_read, project.plan().prompts) == (1, 3)
    written = project.with_settings(source__path=str(path), source__template="{{ question }} . {{ answer }}",
                                    source__limit=2)
    assert written.plan("r2").answers_read == written.plan("r2").prompts == 2
    dropped = project.with_settings(source__path=str(path), prompts__answer_in_question="drop")
    assert dropped.plan("r3").answers_read == 0


def test_mistakes_are_told_before_anything_is_planned(project: Project) -> None:
    for flags, error in (({"alpha__method": "magic"}, ConfigError), ({"filters": [{"name": "magic"}]}, ConfigError),
                         ({"prompts__student": "{{ answer }}"}, ConfigError), ({"engine__context": 999}, ModelError)):
        with pytest.raises(error):
            project.with_settings(**flags).plan()
    assert not [info for info in project.store.list("") if info.key.endswith("plan.json")]


def test_a_damaged_prompts_file_is_noticed(project: Project) -> None:
    key = ingest(project.workspace(), "r1")
    project.store.write(f"{key.rpartition('/')[0]}/prompts.jsonl", Prompt.of(()).model_dump_json().encode())
    with pytest.raises(IntegrityError, match="damaged"):
        project.plan()
