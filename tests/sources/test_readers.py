"""Every kind of file gives the same rows; what is cut off or damaged is one line with the file and the row; memory does
not grow with the number of rows."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from datasets import Dataset, DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.config import SourceSettings
from qstar_core.errors import DataError, QstarError
from qstar_core.sources.adapters.table import ADAPTERS
from qstar_core.sources.reading import read_source
from qstar_core.sources.rows import read_rows, source_state

ROWS = [{"question": f"what is {i} ü 🐄?", "answer": str(i)} for i in range(40)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = ("question,answer\n" + "".join(f"{row['question']},{row['answer']}\n" for row in ROWS)).encode()


def arrow(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def arrow_file(path: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


WRITERS: dict[str, Callable[[Path], object]] = {
    "rows.jsonl": lambda path: path.write_bytes(LINES),
    "rows.ndjson": lambda path: path.write_bytes(LINES),
    "rows.jsonl.gz": lambda path: path.write_bytes(gzip.compress(LINES[:500]) + gzip.compress(LINES[500:])),
    "rows.jsonl.zst": lambda path: path.write_bytes(zstandard.compress(LINES)),
    "lines.json": lambda path: path.write_bytes(LINES),
    "list.json": lambda path: path.write_text(json.dumps(ROWS)),
    "pretty.json": lambda path: path.write_text(json.dumps(ROWS, indent=2, ensure_ascii=False), encoding="utf-8"),
    "wrapped.json": lambda path: path.write_text(json.dumps({"data": ROWS, "version": 2}, indent=1)),
    "marked.json": lambda path: path.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROWS).encode()),
    "list.json.gz": lambda path: path.write_bytes(gzip.compress(json.dumps(ROWS).encode())),
    "rows.csv": lambda path: path.write_bytes(b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n")),
    "rows.csv.gz": lambda path: path.write_bytes(gzip.compress(CSV)),
    "rows.csv.zst": lambda path: path.write_bytes(zstandard.compress(CSV)),
    "rows.parquet": lambda path: pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=7),
    "rows.arrow": arrow,
    "file.arrow": arrow_file,
    "saved": lambda path: Dataset.from_list(ROWS).save_to_disk(path),
    "saved_splits": lambda path: DatasetDict({"train": Dataset.from_list(ROWS),
                                              "test": Dataset.from_list(ROWS[:3])}).save_to_disk(path),
}


def values(path: Path | str, **changes: Any) -> list[Any]:
    return [row.row.values for row in read_rows(SourceSettings(path=str(path), **changes))]


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    assert values(path) == ROWS
    assert [row.row.index for row in read_rows(SourceSettings(path=str(path)))] == list(range(40))


@pytest.mark.parametrize("name", [name for name in WRITERS if "saved" not in name])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_file_that_is_cut_off_is_never_taken_for_a_whole_one(tmp_path: Path, name: str, share: float) -> None:
    """Text that can be cut between its rows loses the last one at most, as a reject or a shorter row."""
    path = tmp_path / name
    WRITERS[name](path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    try:
        rows = list(read_rows(SourceSettings(path=str(path))))
    except DataError as error:
        assert name in str(error) and "\n" not in str(error)
        assert "after row" in str(error) or "holds" in str(error)
    else:
        assert path.suffix in (".jsonl", ".ndjson", ".csv") or name == "lines.json"
        assert [row.row.values for row in rows[:-1]] == ROWS[: max(0, len(rows) - 1)]


@pytest.mark.parametrize("name", ["list.json", "pretty.json", "list.json.gz", "rows.jsonl.gz", "rows.jsonl.zst"])
def test_the_line_says_after_which_row(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=rf"cannot read .*{name} after row \d+: .* cut off"):
        values(path)


def test_split_of_a_saved_dataset(tmp_path: Path) -> None:
    WRITERS["saved_splits"](tmp_path / "saved")
    assert values(tmp_path / "saved", split="test") == ROWS[:3]
    with pytest.raises(DataError, match=r"no split 'dev' .* train or test"):
        values(tmp_path / "saved", split="dev")


def test_the_files_of_a_folder_are_read_in_order_and_by_split(tmp_path: Path) -> None:
    for name, part in (("train-00001.jsonl", ROWS[5:9]), ("train-00000.jsonl", ROWS[:5]), ("test.jsonl", ROWS[20:])):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in part))
    (tmp_path / "notes.txt").write_text("no data")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "train-00002.jsonl").write_text('{"question": "hidden"}')
    assert values(tmp_path) == ROWS[:9] and values(tmp_path, split="test") == ROWS[20:]
    assert values(tmp_path / "*.jsonl") == ROWS[20:] + ROWS[:9], "a pattern takes every file that it names"
    with pytest.raises(DataError, match=r"no files of split 'validation' .* test or train"):
        values(tmp_path, split="validation")
    rows = list(read_rows(SourceSettings(path=str(tmp_path))))
    assert rows[5].file.endswith("train-00001.jsonl") and rows[5].row.index == 0, "a row is numbered within its file"


def test_a_folder_with_a_card_is_read_as_the_hub_would(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: main\n  data_files:\n  - split: train\n"
                                        "    path: part/a.jsonl\n  - split: test\n    path: part/b.jsonl\n---\n")
    (tmp_path / "part").mkdir()
    for name, part in (("a", ROWS[:4]), ("b", ROWS[4:6])):
        (tmp_path / "part" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    assert values(tmp_path) == ROWS[:4] and values(tmp_path, subset="main", split="test") == ROWS[4:6]
    with pytest.raises(DataError, match=r"cannot read .* source\.subset and source\.split"):
        values(tmp_path, split="nowhere")
    with pytest.raises(DataError, match=r"cannot read .*other"):
        values(tmp_path, subset="other")


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    WRITERS["rows.jsonl"](tmp_path / "rows.jsonl")
    WRITERS["rows.jsonl"](tmp_path / "rows[1].jsonl")
    assert values("~/rows[1].jsonl") == ROWS, "a file may be named like a pattern"
    (tmp_path / "rows[1].jsonl").unlink()
    assert values("~/rows.jsonl") == values("~/*.jsonl") == ROWS


@pytest.mark.parametrize("path", ["", "  ", "x" * 5000, "~/nothing", "a/b/c", "gs://bucket/x", "/dev/zero", "./none"])
def test_a_path_that_leads_nowhere_is_one_line(path: str) -> None:
    with pytest.raises(DataError, match=r"source\.path|no dataset at"):
        values(path)


def test_a_folder_without_data_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "*.parquet"):
        with pytest.raises(DataError, match="no data files at"):
            values(path)


def test_the_state_of_a_source_changes_with_its_content(tmp_path: Path) -> None:
    WRITERS["rows.jsonl"](tmp_path / "a.jsonl")
    file, folder, pattern = (SourceSettings(path=str(tmp_path / part)) for part in ("a.jsonl", "", "*.jsonl"))
    before = [source_state(source) for source in (file, folder, pattern)]
    assert before == [source_state(source) for source in (file, folder, pattern)]
    (tmp_path / "a.jsonl").write_bytes(LINES[:300])
    assert all(a != b for a, b in zip(before, [source_state(s) for s in (file, folder, pattern)], strict=True))


@pytest.mark.parametrize(("text", "reason"), [
    ('{"a": 1}, ]', None), ('{"question": "x"}, nonsense, {"question": "y"}]', "the item is not JSON"),
    ('{"question": "x"}, {"question": "\\ud800"}]', "the item escapes half of a surrogate pair"),
    ('{"question": "]},{"}, [1, [2]]]', "the item is not a JSON object"),
    ('{"question": "quote \\" and \\\\"}, null]', "the item is not a JSON object"),
    ('{"question": "x"},, {"question": "y"}]', "the item is not JSON"),
    ("[" * 100_000 + "]" * 100_000 + "]", "the item is not JSON"),
    ('{"question": "x"}, {"question": "' + "y" * 10_100_000 + '"}]', "the item is longer than 10 MB"),
], ids=lambda value: str(value)[:20])
def test_items_of_a_list_are_cut_apart_by_their_brackets(tmp_path: Path, text: str, reason: str | None) -> None:
    path = tmp_path / "list.json"
    path.write_text(f"[{text}")
    faults = [row.row.fault for row in read_rows(SourceSettings(path=str(path))) if row.row.values is None]
    assert faults == ([] if reason is None else [reason])


def test_what_follows_a_list_is_not_lost_in_silence(tmp_path: Path) -> None:
    (tmp_path / "two.json").write_text('[{"question": "a"}] [{"question": "b"}]')
    with pytest.raises(DataError, match=r"two\.json goes on after its list"):
        values(tmp_path / "two.json")


@pytest.mark.parametrize(("text", "said"), [
    ('question,answer\n"never closed,1\n', "after row 0"), ("question,Question\na,b\n", "has a column twice"),
    ("question,answer\na,1\nb,\xff\n", "after row 0"), ('question\n"x"y\n', "after row 0"),
])
def test_a_csv_file_that_is_damaged_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=said):
        values(path)


def test_csv_values_stay_text_and_a_ragged_row_is_a_reject(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('question,answer\nq,007\n"two\nlines",1.50\nx,1,2\n\ny\nz\x00z,NULL\n')
    rows = list(read_rows(SourceSettings(path=str(path))))
    assert [row.row.values for row in rows] == [
        {"question": "q", "answer": "007"}, {"question": "two\nlines", "answer": "1.50"}, None, None,
        {"question": "z\x00z", "answer": "NULL"}]
    assert rows[2].row.fault == "the row has more or fewer values than the head"


def test_bytes_that_are_no_text_cost_their_row_only(tmp_path: Path) -> None:
    column = pa.array([b"good", b"\xff\xfe", b"fine"]).view(pa.string())
    pq.write_table(pa.table({"question": column}), tmp_path / "rows.parquet")
    rows = [row.row for row in read_rows(SourceSettings(path=str(tmp_path / "rows.parquet")))]
    assert [row.values for row in rows] == [{"question": "good"}, None, {"question": "fine"}]
    assert rows[1].fault == "the row holds bytes that are no text"


SUFFIXES = [".jsonl", ".json", ".csv", ".parquet", ".arrow", ".jsonl.gz", ".jsonl.zst", ".json.gz", ".csv.zst"]
MANY = ["question", "Answer", "problem", "solution", "messages", "meta", "kind", "prompt", "chosen", "rejected", "text",
        "choices", "answerKey", "test_list", "conversations", "reward_model", "response", "query", "instruction",
        "test", "entry_point", "output", "generations", "correctness_math_verify", "answer"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8)
    | st.sampled_from(["####", "#### 4", "\\boxed{", "\n\nHuman: a\n\nAssistant: b", "user", "human"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["role", "content", "from", "value", "label", "text", "ground_truth", "type", "A"]), inner,
        max_size=3), max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200), suffix=st.sampled_from(SUFFIXES), damage=st.integers(0, 400))
def test_whatever_a_file_holds_only_our_errors_come_out(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str, damage: int
) -> None:
    """Random bytes, and a good file of that kind with a byte changed."""
    folder = tmp_path_factory.getbasetemp()
    good = folder / f"good{suffix}"
    if not good.exists():
        WRITERS[f"rows{suffix}" if f"rows{suffix}" in WRITERS else f"list{suffix}"](good)
    whole = bytearray(good.read_bytes())
    whole[damage % len(whole)] ^= 1 + len(content)
    for number, data in enumerate((content, bytes(whole))):
        path = folder / f"fuzz{number}{suffix}"
        path.write_bytes(data)
        try:
            list(read_source(SourceSettings(path=str(path))))
        except QstarError as error:
            assert "\n" not in str(error) and path.name in str(error)


@settings(max_examples=80, deadline=None)
@given(rows=st.lists(st.dictionaries(st.sampled_from(MANY), ANYTHING, max_size=5), max_size=4),
       adapter=st.sampled_from(["auto", *ADAPTERS]))
def test_whatever_a_row_holds_every_adapter_gives_a_prompt_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], adapter: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    try:
        reads = list(read_source(SourceSettings(path=str(path), adapter=adapter, near_duplicates=0.7)))
    except DataError as error:
        assert "\n" not in str(error)
        return
    assert [read.row for read in reads] == list(range(len(rows)))
    for read in reads:
        assert (read.prompt is None) != (read.reject is None)
        if read.prompt is not None:
            assert read.prompt.question.strip() or read.prompt.messages
            assert json.loads(read.prompt.model_dump_json())["id"] == read.prompt.id


MEASURE = """
import re, sys
from pathlib import Path
from qstar_core.config import SourceSettings
from qstar_core.sources.reading import read_source
source = SourceSettings(path=sys.argv[1], shuffle_seed=1, shuffle_buffer=100)
count = sum(read.prompt is not None for read in read_source(source))
print(count, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


def peak_kb(path: Path, count: int) -> int:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True)
    found, used = done.stdout.split()
    assert int(found) == count
    return int(used)


@pytest.mark.parametrize("suffix", [".jsonl.gz", pytest.param(".json", marks=pytest.mark.slow),
                                    pytest.param(".parquet", marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, suffix: str) -> None:
    """Fifty times the rows, 75 MB more of text: what grows is the 64 bits that are kept of every id."""
    used = {}
    for count in (1_000, 50_000):
        rows = [{"question": f"number {i} {'of many ' * 190}", "answer": str(i)} for i in range(count)]
        path = tmp_path / f"rows{count}{suffix}"
        if suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1000)
        elif suffix == ".json":
            path.write_text(json.dumps(rows))
        else:
            path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode(), compresslevel=1))
        used[count] = peak_kb(path, count)
    assert used[50_000] - used[1_000] < 20_000, used
