"""Texts and numbers as they lie in the files: counted, hashed, and never a number that is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from qstar_core.config import GateSettings
from qstar_core.errors import DataError
from qstar_core.gate.examples import short
from qstar_core.gate.reading import completions, read_hashes, read_previous, read_samples, read_texts
from tests.gate.files import SCHEMAS, rows_of, write


def texts_of(tmp_path: Path, completions: list[str], settings: GateSettings | None = None,
             words: tuple[str, ...] = ("maybe", "b")) -> object:
    rows = rows_of("data")[: len(completions)]
    for row, text in zip(rows, completions, strict=True):
        row["messages"][-1]["content"] = text
    path, _ = write(tmp_path, data=rows)["data"]
    return read_texts(path, settings or GateSettings(), words)


def test_words_hedges_leaks_and_vocabulary_are_counted(tmp_path: Path) -> None:
    found = texts_of(tmp_path, ["Maybe, maybe-b 3!", "As The  Given\nanswer says", ""])
    assert list(found.words_N) == [4, 5, 0] and list(found.hedges_N) == [2, 0, 0]
    assert list(found.leaks_N) == [False, True, False]
    assert found.vocabulary_N_V.tolist() == [[2, 1, 1], [0, 0, 5], [0, 0, 0]]
    assert list(found.prompt_N) == [0, 0, 1] and list(found.id_N) == ["s000", "s001", "s002"]


def test_a_conversation_is_known_again_by_its_content(tmp_path: Path) -> None:
    rows = rows_of("data")[:2]
    one = read_hashes(write(tmp_path, data=rows)["data"][0])
    rows[0]["messages"][-1]["content"] = "  maybe\n answer 0 "
    rows[1]["messages"][0]["content"] = "be long"
    other = read_hashes(write(tmp_path, data=rows)["data"][0])
    assert one[0] == other[0] and one[1] != other[1] and len(set(one)) == 2


def test_the_previous_version_tells_lengths_words_and_hashes(tmp_path: Path) -> None:
    path = write(tmp_path)["data"][0]
    previous, hashes = read_previous(path, "v1")
    assert previous is not None and previous.version == "v1"
    assert dict(zip(previous.words, previous.counts_V, strict=False)) == {
        "answer": 6, "maybe": 6, **{str(index): 1 for index in range(6)}}
    assert previous.counts_V[-1] == 0 and list(previous.tokens_N) == [3] * 6
    assert np.array_equal(hashes, read_hashes(path))


def test_a_file_without_messages_has_no_texts(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(rows_of("data"), schema=SCHEMAS["data"]).drop_columns(["messages"])
    path = write(tmp_path, data=table)["data"][0]
    assert read_texts(path, GateSettings(), ()) is None and read_previous(path, "v")[0] is None
    assert len(read_hashes(path)) == 0 and list(completions(path, frozenset({"s000"}))) == []


def test_an_empty_version_has_empty_columns(tmp_path: Path) -> None:
    files = write(tmp_path, data=[], diagnostics=[])
    texts, samples = read_texts(files["data"][0], GateSettings(), ("a",)), read_samples(files["diagnostics"][0])
    assert texts is not None and texts.vocabulary_N_V.shape == (0, 2) and len(samples.id_N) == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_an_error_and_a_null_is_not(tmp_path: Path, bad: float) -> None:
    rows = rows_of("diagnostics")
    rows[2]["ess_ratio_mean"] = None
    assert np.isnan(read_samples(write(tmp_path, diagnostics=rows)["diagnostics"][0]).columns["ess_ratio_mean"][2])
    rows[4]["alpha_mean"] = bad
    with pytest.raises(DataError, match=r"diagnostics\.parquet: alpha_mean of sample s004 is"):
        read_samples(write(tmp_path, diagnostics=rows)["diagnostics"][0])


def test_texts_of_examples_are_short_and_printable() -> None:
    assert short("a\n b\0\u202e<b>") == "a b[U+0000][U+202E]<b>"
    assert len(short("x" * 10_000)) == 121
