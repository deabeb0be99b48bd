"""Tables through the datasets library, the built-in sources, and sources that are not there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError
from qstar_core.records import Prompt
from qstar_core.sources.arithmetic import arithmetic
from qstar_core.sources.reading import read_source

ROWS = [{"question": "one?", "answer": "1"}, {"question": "zwei ü, \"x\"?", "answer": "2"},
        {"question": None, "answer": "3"}, {"question": "four?", "answer": None}]


def prompts(path: Path | str, **changes: Any) -> list[Prompt | str]:
    return [read.prompt or (read.reject.reason if read.reject else "")
            for read in read_source(SourceSettings(path=str(path), **changes))]


def written(path: Path) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(ROWS), encoding="utf-8")
    else:
        path.write_text('question,answer\none?,1\n"zwei ü, ""x""?",2\n,3\nfour?,\n', encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet", "rows.json"])
def test_tables_give_the_same_prompts_and_rejects(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / name)
    one, two, three, four = prompts(path)
    assert isinstance(one, Prompt) and isinstance(two, Prompt) and isinstance(four, Prompt)
    assert (one.question, two.question, four.question) == ("one?", "zwei ü, \"x\"?", "four?")
    assert [float(one.answer or 0), float(two.answer or 0), four.answer] == [1, 2, None]
    assert three == "the prompt is empty"
    assert prompts(path, start=1, limit=1) == [two]


def test_an_item_of_a_json_list_that_is_no_object_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"question": "a"}, 3, {"question": "b"}]')
    first, second, third = prompts(path)
    assert isinstance(first, Prompt) and second == "the item is not a JSON object" and isinstance(third, Prompt)


def test_conversations_in_parquet(tmp_path: Path) -> None:
    path = tmp_path / "chat.parquet"
    pq.write_table(pa.Table.from_pylist([{"messages": [{"role": "user", "content": "q"}]},
                                         {"messages": [{"role": "user", "content": None}]}, {"messages": None}]), path)
    found = prompts(path)
    assert isinstance(found[0], Prompt) and found[0].question == "q"
    assert found[1:] == ["a message has no text", "the messages column is missing or empty"]


@pytest.mark.parametrize("name", ["broken.csv", "broken.parquet", "broken.json"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\x01" * 50, b"{", b"[]", b"  \n", b"null", b" 3"])
def test_a_table_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        prompts(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none.jsonl", "none.csv", "none.txt", "./none", "none"])
def test_a_missing_file_is_named(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=name.removeprefix("./")):
        prompts(name if name.startswith(".") else str(tmp_path / name))


def test_an_unknown_builtin_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"builtin:riddles is unknown — use builtin:problems or builtin:arithmetic"):
        prompts("builtin:riddles")


@pytest.mark.parametrize("name", ["builtin:problems", "builtin:arithmetic", "builtin:larger-steps"])
def test_builtins_are_distinct_windows_of_one_sequence(name: str) -> None:
    whole = prompts(name, limit=60, seed=3)
    assert len(whole) == 60 and all(isinstance(prompt, Prompt) for prompt in whole)
    assert prompts(name, start=20, limit=10, seed=3) == whole[20:30]
    assert prompts(name, limit=60, seed=4) != whole


EVENT = re.compile(r"(buys|finds|is given|gives away|loses|sells) (\d+)")


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_the_gold_answer_of_a_story_is_what_the_story_says(seed: int) -> None:
    for prompt in arithmetic(seed, 20):
        start = re.search(r"has (\d+) ", prompt.question)
        assert start is not None
        events = EVENT.findall(prompt.question)
        total = int(start.group(1))
        for verb, amount in events:
            total += int(amount) if verb in ("buys", "finds", "is given") else -int(amount)
            assert total > 0, "nobody gives away what they do not have"
        assert prompt.answer == str(total) and prompt.meta == {"steps": len(events)}
        left, right = (prompt.solution or "").split("=")
        assert eval(left) == int(right) == total  # the text is our own sum
