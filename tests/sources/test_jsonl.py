"""Every line of a JSONL file ends as exactly one prompt or one reject with its reason; only a file can fail a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError
from qstar_core.records import Prompt
from qstar_core.sources.reading import Read, read_source
from qstar_core.stages.lines import load_lines, store_lines
from qstar_core.store.directory import DirectoryStore

Reading = Callable[..., list[Read]]
GOOD = b'{"question": "good?", "answer": "1"}'


@pytest.fixture
def read(tmp_path: Path) -> Reading:
    def reading(*lines: bytes, **settings: Any) -> list[Read]:
        path = tmp_path / "prompts.jsonl"
        path.write_bytes(b"\n".join(lines))
        return list(read_source(SourceSettings(path=str(path), **settings)))

    return reading


def reasons(reads: list[Read]) -> list[str]:
    return [read.reject.reason if read.reject else "" for read in reads]


@pytest.mark.parametrize(("line", "reason"), [
    (b'{"question": "half', "the line is not JSON"),
    (b"{'question': 'single'}", "the line is not JSON"),
    (b"\x00\x00", "the line is not JSON"),
    (b'{"question": "a\x00b"}', "the line is not JSON"),
    (b'{"question": ' + b"9" * 5000 + b"}", "the line is not JSON"),
    (b"[" * 100_000, "the line is not JSON"),
    (b'{"question": "caf\xe9"}', "the line is not UTF-8"),
    (b"[1, 2]", "the line is not a JSON object"),
    (b'"text"', "the line is not a JSON object"),
    (b"null", "the line is not a JSON object"),
    (b"NaN", "the line is not a JSON object"),
    (b'{"question": "\\ud800"}', "the line escapes half of a surrogate pair"),
    (b'{"question": "fine", "meta": {"deep": ["\\uDFFF"]}}', "the line escapes half of a surrogate pair"),
    (b'{"other": "x"}', "is missing"),
    (b'{"question": null}', "the prompt is empty"),
    (b'{"question": "  "}', "the prompt is empty"),
    (b'{"question": ["a", "b"]}', "the prompt is empty"),
    (b'{"question": {"a": 1}}', "the prompt is empty"),
    (b'{"question": true}', "the prompt is empty"),
    (GOOD, "the prompt occurred before"),
    (b'{"answer": 1, "question": "good?"}', "the prompt occurred before"),
], ids=lambda value: str(value)[:30])
def test_a_line_that_is_no_prompt_is_a_reject_with_its_reason(read: Reading, line: bytes, reason: str) -> None:
    found = read(GOOD, line, b'{"question": "after?"}')
    assert len(found) == 3 and found[0].prompt and found[2].prompt
    assert found[1].prompt is None and found[1].reject is not None
    assert reason in found[1].reject.reason and found[1].reject.row == 1
    assert len(found[1].reject.text) <= 300


def test_a_line_beyond_the_limit_is_a_reject_and_the_next_one_is_read(read: Reading) -> None:
    found = read(GOOD, b'{"question": "' + b"x" * 11_000_000 + b'"}', b'{"question": "after?"}')
    assert reasons(found) == ["", "the line is longer than 10 MB", ""]


def test_a_byte_order_mark_and_windows_line_ends(read: Reading) -> None:
    found = read(b"\xef\xbb\xbf" + GOOD + b"\r", b'{"question": "two"}\r', b"\r")
    assert [read.prompt.question for read in found if read.prompt] == ["good?", "two"]


def test_empty_lines_are_no_rows(read: Reading) -> None:
    found = read(b"", b"  ", GOOD, b"\t", b"", b'{"question": "two"}', b"")
    assert [read.row for read in found] == [0, 1]


@pytest.mark.parametrize("lines", [(), (b"",), (b"\n\n",), (b"broken",), (b"[]", b"{"), (b"\xff\xfe\x00{",)])
def test_a_file_without_a_row_is_an_error_that_names_it(read: Reading, lines: tuple[bytes, ...]) -> None:
    with pytest.raises(DataError, match=r"prompts\.jsonl holds no usable row"):
        read(*lines)


def test_a_file_whose_first_rows_name_no_question_is_an_error_that_lists_its_columns(read: Reading) -> None:
    with pytest.raises(DataError, match=r"no known schema has the columns a, b, c .* source\.prompt_field"):
        read(b'{"b": 1, "a": 2}', b'{"c": 3}', *[b'{"a": 1}'] * 30)
    assert [found.reject is None for found in read(b'{"b": 1, "a": 2}', GOOD)] == [False, True]
    with pytest.raises(DataError, match="no columns"):
        read(b"{}")


@pytest.mark.parametrize("text", ["שלום עולם?", "مرحبا", "👩‍👩‍👧‍👦 = ?", "ｆｕｌｌ", "e\u0301", "\u202eabc", "a\x00b",
                                  "{{ x }}"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_text_of_any_script_arrives_as_it_is(read: Reading, text: str, ascii_only: bool) -> None:
    [found] = read(json.dumps({"question": text, "answer": text}, ensure_ascii=ascii_only).encode())
    assert found.prompt and (found.prompt.question, found.prompt.answer) == (text, text)


@pytest.mark.parametrize(("answer", "expected"), [
    ("42", "42"), ("3.50", "3.5"), ("-7", "-7"), ('" 8 "', "8"), ("null", None), ('""', None),
    ("[1]", "1"), ("{}", None), ("NaN", None), ("Infinity", None), ("1e999", None), ("0", "0"),
])
def test_answers_may_be_numbers_and_what_is_no_answer_is_none(read: Reading, answer: str, expected: str | None) -> None:
    [found] = read(f'{{"question": "q", "answer": {answer}}}'.encode())
    assert found.prompt is not None and found.prompt.answer == expected


@pytest.mark.parametrize("answer", ["true", "[1, 2]", '{"value": 3}'])
def test_a_gold_that_is_no_answer_is_not_the_absence_of_one(read: Reading, answer: str) -> None:
    assert reasons(read(f'{{"question": "q", "answer": {answer}}}'.encode())) == [
        "the gold answer is neither a text nor a number"]


def test_columns_that_differ_in_case_alone_are_no_row(read: Reading) -> None:
    assert reasons(read(GOOD, b'{"question": "q", "Question": "p"}')) == ["", "two columns differ in case only"]


def test_start_and_limit_count_rows_and_not_prompts(read: Reading) -> None:
    lines = [GOOD, b"broken", *(f'{{"question": "{i}"}}'.encode() for i in range(8))]
    assert [found.row for found in read(*lines)] == list(range(10))
    assert [found.row for found in read(*lines, start=1, limit=3)] == [1, 2, 3]
    assert reasons(read(*lines, start=1, limit=3))[0] == "the line is not JSON"
    assert read(*lines, start=50) == []
    assert read(*lines, start=9, limit=50) == read(*lines)[9:]


LINES = st.lists(
    st.binary(max_size=60)
    | st.sampled_from([GOOD, b"", b"{}", b"\xef\xbb\xbf{}", b'{"question": "\\udc00"}', b'{"meta": 1, "question": 2}'])
    | st.dictionaries(st.sampled_from(["question", "Answer", "problem", "solution", "messages", "meta", "kind", "x"]),
                      st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=6) | st.integers(),
                                   lambda inner: st.lists(inner, max_size=2)
                                   | st.dictionaries(st.sampled_from(["role", "content", "a"]), inner, max_size=3),
                                   max_leaves=6), max_size=4).map(lambda row: json.dumps(row).encode()),
    max_size=8,
)


@given(lines=LINES, adapter=st.sampled_from(["auto", "question_answer", "gsm8k", "math", "messages"]))
def test_whatever_the_bytes_every_row_has_one_end(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], adapter: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.jsonl"
    path.write_bytes(b"\n".join(lines))
    rows = [line for line in b"\n".join(lines).split(b"\n") if line.strip()]
    try:
        found = list(read_source(SourceSettings(path=str(path), adapter=adapter)))
    except DataError as error:
        assert "\n" not in str(error)
        return
    assert [read.row for read in found] == list(range(len(rows)))
    assert all((read.prompt is None) != (read.reject is None) for read in found)
    prompts = [read.prompt for read in found if read.prompt]
    assert len({prompt.id for prompt in prompts}) == len(prompts)
    store = DirectoryStore(tmp_path_factory.getbasetemp() / "fuzzed")
    assert load_lines(store, store_lines(store, "prompts", prompts), Prompt) == prompts, "what is read can be stored"


def test_a_hostile_line_is_read_in_a_moment(read: Reading) -> None:
    row = {"question": "q", "answer": "<" * 200_000 + "#### 4"}
    since = time.monotonic()
    [found] = read(json.dumps(row).encode())
    assert found.prompt and found.prompt.answer == "4"
    assert time.monotonic() - since < 5
