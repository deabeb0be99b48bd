"""Rows of every kind with several turns, in files of bounded size: none is lost, none is held in memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from datasets import load_dataset

from qstar_core.errors import DataError
from qstar_core.exports.base import Format
from qstar_core.exports.kinds import Conversation, Item, Kind, Labelled, Preference, Question, Tokens, tokens
from qstar_core.exports.registry import FORMATS
from qstar_core.exports.text import gold, script
from qstar_core.exports.writing import write_rows
from qstar_core.stages.outputs import DATA
from tests.exports.conftest import Version
from tests.exports.schemas import SCHEMAS

TURNS = tuple({"role": role, "content": text} for role, text in (
    ("system", "be brief"), ("user", "1 + 1 ?"), ("assistant", "2"), ("user", "and مرحبا 🙂 \u2028 ?")))
ITEMS: dict[Kind, Item] = {
    Kind.CONVERSATIONS: Conversation("p", TURNS, "3 \x00 \n", {}), Kind.PAIRS: Preference("p", TURNS, "3", "4"),
    Kind.LABELLED: Labelled("p", TURNS, "3", True), Kind.QUESTIONS: Question("p", TURNS, r"\frac12", "k", "s", 0.5),
    Kind.TOKENS: Tokens("p", (1, 2), (3, 0)),
}


@pytest.mark.parametrize(("name", "kind"), sorted(SCHEMAS), ids=str)
def test_a_conversation_of_several_turns_fits_every_format(name: str, kind: Kind, tmp_path: Path) -> None:
    format_ = FORMATS[name]
    row = format_.row(ITEMS[kind], "train", 0)
    jsonschema.validate(row, SCHEMAS[name, kind])
    written = write_rows(tmp_path, format_, format_.schema(kind, DATA), [ITEMS[kind]], 0.0, 10, 0)
    data = load_dataset("parquet" if format_.schema(kind, DATA) else "json", split="train",
                        data_files=[str(tmp_path / file) for file in written.files["train"]])
    assert list(data) == [row]


@pytest.mark.parametrize("name", sorted(name for name in FORMATS if not name.startswith("trl")))
def test_a_kind_that_a_format_does_not_take_is_no_row_of_it(name: str) -> None:
    for kind in set(Kind) - set(FORMATS[name].kinds):
        with pytest.raises(TypeError, match="no rows of this kind"):
            FORMATS[name].row(ITEMS[kind], "train", 0)


def test_only_the_last_turn_is_learnt(tmp_path: Path) -> None:
    row = FORMATS["axolotl"].row(ITEMS[Kind.CONVERSATIONS], "train", 0)
    assert [turn["training"] for turn in row["messages"]] == [False, False, False, False, True]
    assert FORMATS["trl-sft"].row(ITEMS[Kind.TOKENS], "train", 0)["labels"] == [-100, -100, 3, 0]


def _many(count: int) -> Iterator[Item]:
    for i in range(count):
        yield Question(f"p{i}", TURNS, f"{i} " + "x" * 500, "kind", "source", 0.5)


@pytest.mark.parametrize("name", ["trl-grpo", "verl"])
def test_memory_does_not_grow_with_the_rows(name: str, tmp_path: Path) -> None:
    format_: Format = FORMATS[name]
    peaks = []
    for count in (3_000, 9_000):
        (tmp_path / str(count)).mkdir()
        tracemalloc.start()
        write_rows(tmp_path / str(count), format_, format_.schema(Kind.QUESTIONS, DATA), _many(count), 0.5, 100_000, 0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0], peaks


@pytest.mark.parametrize("name", ["trl-grpo", "verl"])
def test_half_a_character_is_told_with_its_row(name: str, tmp_path: Path) -> None:
    format_ = FORMATS[name]
    broken = Question("p", ({"role": "user", "content": "half \ud800"},), "1", "k", "s", 0.0)
    with pytest.raises(DataError, match="row 2 of the train split holds half a character"):
        write_rows(tmp_path, format_, format_.schema(Kind.QUESTIONS, DATA), [ITEMS[Kind.QUESTIONS], broken], 0.0, 9, 0)


def test_a_folder_exported_again_is_not_read_from_the_cache(version: Version, tmp_path: Path) -> None:
    texts = []
    for seed in (0, 1, 2):
        folder = version.export("trl-dpo", tmp_path / "out", overwrite=True, pairs={"seed": seed}).folder
        texts.append([row["rejected"][0]["content"] for row in load_dataset(str(folder), split="train")])
    assert len({tuple(rows) for rows in texts}) > 1


def test_rows_of_earlier_versions_have_no_traces_here_and_stay_out() -> None:
    rows = [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": name}], "prompt_id": name,
             "sample_id": name} for name in ("b", "d", "older")]
    traces = [{"sample_id": name, "token": [ord(name)]} for name in "abcd"]
    found = list(tokens(rows, traces, lambda turns: (len(turns),)))
    assert found == [Tokens("b", (1,), (ord("b"),)), Tokens("d", (1,), (ord("d"),))]


def test_names_and_paths_cannot_break_out_of_a_script() -> None:
    assert script(("run", "--model", "a b; rm -rf $HOME 'x'")).splitlines()[-1] == (
        "run --model 'a b; rm -rf $HOME '\"'\"'x'\"'\"''")
    assert gold(r"\frac12") == r"$\frac12$" and gold("$1$") == "$1$" and gold("12") == "12"
