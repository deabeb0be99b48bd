"""Rounds take the source in windows; a round asked again gets the same; at the end the source is read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qstar_core.errors import ConfigError, DataError, IntegrityError
from qstar_core.records import Prompt, RowReject
from qstar_core.stages.ingest import ingest
from qstar_core.stages.lines import load_lines
from qstar_core.stages.plan import Ingest
from tests.stages.scripted import Project


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Ten questions, broken lines after the second and after the last."""
    lines = [json.dumps({"question": f"sort {i}", "answer": str(i)}) for i in range(10)]
    lines[2:2] = ["broken", "[]"]
    lines.append("broken")
    path = tmp_path / "prompts.jsonl"
    path.write_text("\n".join(lines))
    return path


def taken(project: Project, round_name: str) -> Ingest:
    return Ingest.model_validate_json(project.store.read(ingest(project.workspace(), round_name)))


def questions(project: Project, record: Ingest) -> list[int]:
    return [int(prompt.question.split()[1]) for prompt in load_lines(project.store, record.prompts, Prompt)]


def test_successive_rounds_take_the_next_prompts_and_wrap_around(project: Project, source: Path) -> None:
    project = project.with_settings(source__path=str(source), round__prompts=4)
    records = [taken(project, f"r{i}") for i in range(7)]
    assert [questions(project, record) for record in records] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [0, 1, 2, 3]]
    assert [record.turn for record in records] == [0, 0, 0, 1, 1, 1, 2]
    assert [record.exhausted for record in records] == [False, False, True] * 2 + [False]
    for record in records:
        assert record.funnel.entered == record.funnel.kept + sum(record.funnel.dropped.values())
        assert record.funnel.kept == record.prompts.rows
    assert records[0].funnel.dropped == {"the line is not JSON": 1, "the line is not a JSON object": 1}
    assert [r.row for r in load_lines(project.store, records[0].rejects, RowReject)] == [2, 3]
    assert records[2].funnel.dropped == {"the line is not JSON": 1}


def test_every_row_of_a_turn_is_taken_exactly_once(project: Project, source: Path) -> None:
    for size in (1, 2, 3, 5, 9, 10, 11, 99):
        sized = project.with_settings(source__path=str(source), round__prompts=size, dataset=f"size{size}")
        records = [taken(sized, f"r{i}") for i in range(11)]
        first = [record for record in records if record.turn == 0]
        assert [number for record in first for number in questions(sized, record)] == list(range(10)), size
        assert [record.start_row for record in first[1:]] == [record.end_row for record in first[:-1]], size
        assert first[-1].end_row == 13 or records[len(first)].funnel.dropped["the line is not JSON"] >= 1, size


def test_a_tail_of_unusable_rows_wraps_and_is_counted(project: Project, source: Path) -> None:
    project = project.with_settings(source__path=str(source), round__prompts=5)
    taken(project, "a"), taken(project, "b")
    third = taken(project, "c")
    assert (third.turn, third.start_row, questions(project, third)) == (1, 0, [0, 1, 2, 3, 4])
    assert third.funnel.dropped == {"the line is not JSON": 2, "the line is not a JSON object": 1}


def test_a_round_asked_again_is_the_same_whatever_came_after(project: Project, source: Path) -> None:
    project = project.with_settings(source__path=str(source), round__prompts=3)
    keys = {name: ingest(project.workspace(), name) for name in ("mon", "tue", "wed")}
    before = {key: project.store.read(key) for key in keys.values()}
    assert [ingest(project.workspace(), name) for name in ("wed", "mon", "tue")] == [keys["wed"], keys["mon"],
                                                                                    keys["tue"]]
    assert before == {key: project.store.read(key) for key in keys.values()}


@pytest.mark.parametrize("unrelated", [
    {"sampling__temperature": 0.5}, {"engine__batch_size": 3}, {"round__shard_size": 2}, {"gate__min_rows": 7},
    {"prompts__student": "Q {{ question }}"},
])
def test_settings_that_do_not_concern_it_leave_the_ingest(
    project: Project, source: Path, unrelated: dict[str, Any]
) -> None:
    common = {"source__path": str(source), "round__prompts": 3}
    key = ingest(project.with_settings(**common).workspace(), "r")
    assert ingest(project.with_settings(**common, **unrelated).workspace(), "r") == key


def test_another_number_of_prompts_begins_at_the_same_row(project: Project, source: Path) -> None:
    few, many = (project.with_settings(source__path=str(source), round__prompts=n) for n in (2, 4))
    taken(few, "a")
    assert questions(few, taken(few, "b")) == [2, 3]
    assert questions(many, taken(many, "b")) == [2, 3, 4, 5]
    assert questions(few, taken(few, "c")) == [6, 7], "after the furthest row that any round took"


def test_another_source_begins_at_its_beginning(project: Project, source: Path) -> None:
    first = project.with_settings(source__path=str(source), round__prompts=3)
    taken(first, "a")
    later = project.with_settings(source__path=str(source), round__prompts=3, source__start=4)
    assert questions(later, taken(later, "b")) == [2, 3, 4]


def test_start_and_limit_bound_every_turn(project: Project, source: Path) -> None:
    project = project.with_settings(source__path=str(source), source__start=4, source__limit=3, round__prompts=2)
    assert [questions(project, taken(project, name)) for name in "abc"] == [[2, 3], [4], [2, 3]]


@pytest.mark.parametrize("content", ["", "broken\n", '{"question": ""}\n{"question": null}\n'])
def test_a_source_without_a_prompt_is_an_error_and_leaves_nothing(
    project: Project, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(content)
    with pytest.raises(DataError, match=r"bad\.jsonl holds no usable"):
        ingest(project.with_settings(source__path=str(path)).workspace(), "r")
    assert list(project.store.list("")) == []


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "../x", "a b", "ä", "a\n"])
def test_a_round_must_have_a_name_that_can_be_a_key(project: Project, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a name"):
        ingest(project.workspace(), name)


def test_a_changed_file_is_read_again_from_where_the_round_began(project: Project, source: Path) -> None:
    project = project.with_settings(source__path=str(source), round__prompts=3)
    taken(project, "mon")
    before = taken(project, "tue")
    source.write_text(source.read_text().replace('"sort 3"', '"sort 33"'))
    after = taken(project, "tue")
    assert after.start_row == before.start_row
    assert questions(project, before) == [3, 4, 5] and questions(project, after) == [33, 4, 5]


def test_a_prompt_that_comes_again_gets_draws_it_did_not_have(project: Project, source: Path) -> None:
    """Whatever number of draws each night asks for."""
    drawn: dict[int, list[int]] = {}
    for night, draws in enumerate((4, 2, 3, 1)):
        nightly = project.with_settings(source__path=str(source), round__prompts=10, sampling__draws=draws)
        record = taken(nightly, f"night{night}")
        for question in questions(nightly, record):
            drawn.setdefault(question, []).extend(range(record.first_draw, record.first_draw + draws))
    assert all(len(numbers) == 10 == len(set(numbers)) for numbers in drawn.values())


def test_a_record_that_is_none_is_named(project: Project, source: Path) -> None:
    project = project.with_settings(source__path=str(source))
    key = ingest(project.workspace(), "mon")
    project.store.write(key, b'{"round": "mon"}')
    with pytest.raises(IntegrityError, match="is not a Ingest record"):
        ingest(project.workspace(), "tue")
