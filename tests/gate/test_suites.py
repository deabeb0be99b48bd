"""Each planted fault breaks the expectation that speaks of it; the pages open as files, alone, and run nothing."""

from __future__ import annotations

import dataclasses
import html
import logging
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from qstar_core.gate.expectations import Expectation
from qstar_core.gate.files import check_files
from qstar_core.gate.pages import LONGEST, static_page
from qstar_core.gate.suite import run_suite
from tests.gate.files import FACTS, SCHEMAS, rows_of, write

HOSTILE = "<script>document.title='run'</script><img src=x onerror=alert(1)>${x} $y {{ z }} \u202e\0"


def planted(file: str, row: int, **values: Any) -> dict[str, Any]:
    rows = rows_of(file)
    rows[row].update(values)
    return {file: rows}


def broken(tmp_path: Path, facts: Any = FACTS, **changed: Any) -> dict[str, tuple[str, ...]]:
    files = write(tmp_path, **changed)
    results, _ = check_files({name: files[name] for name in changed}, facts)
    return {result.name: result.failed for result in results if result.failed}


def test_a_healthy_version_meets_every_expectation(tmp_path: Path) -> None:
    results, pages = check_files(write(tmp_path), FACTS)
    assert {result.name: result.failed for result in results} == dict.fromkeys(
        ("schema", "data", "diagnostics", "traces"), ())
    assert {result.name: result.expectations for result in results} == {
        "schema": 5, "data": 30, "diagnostics": 32, "traces": 13}
    assert set(pages) == {"schema.html", "data.html", "diagnostics.html", "traces.html"}


ROLE = [{"role": "user", "content": "q"}, {"role": "robot", "content": "a"}]
FAULTS = [
    ("data", {"prompt_id": None}, "not_be_null(column=prompt_id)"),
    ("data", {"sample_id": "s000"}, "be_unique(column=sample_id)"),
    ("data", {"messages": ROLE}, "match_regex(column=roles"),
    ("data", {"messages": [{"role": "assistant", "content": "a"}]}, "match_regex(column=roles"),
    ("data", {"messages": []}, "not_be_null(column=roles)"),
    ("data", {"messages": [{"role": "user", "content": None}, ROLE[0] | {"role": "assistant"}]}, "empty_messages"),
    ("data", {"finish_reason": "error"}, "be_in_set(column=finish_reason"),
    ("data", {"tokens": 0}, "be_between(column=tokens"),
    ("data", {"sample_idx": 6}, "be_between(column=sample_idx"),
    ("data", {"student_sha256": "latest"}, "match_regex(column=student_sha256"),
    ("data", {"version": "r1-other"}, "be_in_set(column=version"),
    ("diagnostics", {"sample_id": "s000"}, "be_unique(column=sample_id)"),
    ("diagnostics", {"alpha_mean": 1.5}, "be_between(column=alpha_mean"),
    ("diagnostics", {"alpha_mean": -0.1}, "be_between(column=alpha_mean"),
    ("diagnostics", {"kl_t_mean": -0.2}, "be_between(column=kl_t_mean"),
    ("diagnostics", {"logq_sum": 0.5}, "be_between(column=logq_sum"),
    ("diagnostics", {"outcome": "lost"}, "be_in_set(column=outcome"),
    ("diagnostics", {"divergent_tokens": 11}, "greater_than_b(column_A=tokens, column_B=divergent_tokens"),
    ("diagnostics", {"alpha_mean": None}, "be_in_set(column=summary"),
    ("diagnostics", {"outcome": "failed"}, "be_in_set(column=summary"),
    ("traces", {"alpha": [0.4, 1.01, 0.5]}, "be_between(column=alpha_max"),
    ("traces", {"alpha": [0.4, -0.01, 0.5]}, "be_between(column=alpha_min"),
    ("traces", {"alpha": [0.4, float("nan"), 0.5]}, "be_between(column=alpha_max"),
    ("traces", {"alpha": [0.4, 0.5]}, "be_in_set(column=same_lengths"),
    ("traces", {"logq": [-1.0, 0.2, -1.0]}, "be_between(column=logq_max"),
]


@pytest.mark.parametrize(("file", "fault", "expectation"), FAULTS, ids=[f"{f}-{e}" for f, _, e in FAULTS])
def test_a_planted_fault_is_found_and_its_row_named(tmp_path: Path, file: str, fault: dict[str, Any],
                                                    expectation: str) -> None:
    files = write(tmp_path, **planted(file, 3, **fault))
    results, pages = check_files({file: files[file]}, FACTS)
    found = {result.name: result for result in results if result.failed}
    assert set(found) == {file}
    assert any(expectation in line and line.endswith(" rows") for line in found[file].failed), found[file].failed
    assert "s003" in found[file].ids or fault.get("sample_id") == "s000" == found[file].ids[0]
    assert "failed" in pages[f"{file}.html"]


def test_missing_rows_columns_and_other_types_are_found(tmp_path: Path) -> None:
    data = pa.Table.from_pylist(rows_of("data"), schema=SCHEMAS["data"])
    found = broken(tmp_path, data=data.slice(1))
    assert set(found) == {"data"} and "row_count" in found["data"][0]
    found = broken(tmp_path, data=data.drop_columns(["messages"]))
    assert set(found) == {"schema", "data"} and any("column=found), 1 rows" in line for line in found["schema"])
    found = broken(tmp_path, data=data.append_column("secret", pa.array(["x"] * 6)))
    assert set(found) == {"schema"} and any("column=expected), 1 rows" in line for line in found["schema"])
    at = data.schema.get_field_index("draw")
    found = broken(tmp_path, data=data.set_column(at, "draw", data["draw"].cast(pa.int64())))
    assert set(found) == {"schema"} and "pair_values_to_be_equal" in found["schema"][0]


def test_without_diagnostics_there_are_no_summaries_and_that_is_as_expected(tmp_path: Path) -> None:
    silent = [row | dict.fromkeys(set(row) & set(SCHEMAS["diagnostics"].names[7:])) for row in rows_of("diagnostics")]
    assert broken(tmp_path, dataclasses.replace(FACTS, diagnostics=False), diagnostics=silent) == {}
    assert set(broken(tmp_path, diagnostics=silent)) == {"diagnostics"}


def test_a_round_of_which_nothing_was_kept_is_no_broken_file(tmp_path: Path) -> None:
    assert broken(tmp_path, dataclasses.replace(FACTS, kept=0), data=[], traces=[]) == {}


def test_long_conversations_are_no_fault(tmp_path: Path) -> None:
    turns = [{"role": role, "content": "x"} for role in ["system", *["user", "assistant"] * 200]]
    tools = [{"role": role, "content": "x"} for role in ["user", *["assistant", "tool"] * 200, "assistant"]]
    for messages in (turns, tools):
        assert broken(tmp_path, **planted("data", 2, messages=messages)) == {}
    assert "data" in broken(tmp_path, **planted("data", 2, messages=[*turns, {"role": "robot", "content": "x"}]))


class Elements(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def hostile_pages(tmp_path: Path) -> dict[str, str]:
    changed = planted("data", 1, finish_reason=HOSTILE, version=HOSTILE,
                      messages=[{"role": HOSTILE, "content": "x"}], student_sha256=HOSTILE)
    _, pages = check_files(write(tmp_path, **changed, **planted("diagnostics", 1, outcome=HOSTILE * 5_000)), FACTS)
    return pages


def test_pages_are_static_and_reach_for_nothing(tmp_path: Path) -> None:
    pages = hostile_pages(tmp_path)
    assert html.escape(HOSTILE[:60]) in pages["data.html"], "a value is shown, as text"
    for name, page in pages.items():
        assert "showAllValidations" not in page, "scripts go with what is in them"
        found = Elements(page)
        assert not {"script", "link", "img", "iframe", "form", "input", "base", "object"} & set(found.tags), name
        links = [value for key, value in found.attributes if key in ("href", "src")]
        assert links[0] == "../report.html" and all(value and value.startswith("#") for value in links[1:])
        assert not any(key.startswith("on") or key == "style" for key, _ in found.attributes)
        assert not re.search(r"https?://|url\(|@import", page) and len(page) < 100_000
        assert "default-src 'none'" in page and f"<title>{name.removesuffix('.html')}: expectations</title>" in page


def test_the_same_files_give_the_same_pages(tmp_path: Path) -> None:
    assert hostile_pages(tmp_path) == hostile_pages(tmp_path)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_a_page_opens_from_disk_and_runs_nothing(tmp_path: Path) -> None:
    page = hostile_pages(tmp_path)["data.html"]
    (tmp_path / "data.html").write_text(page, encoding="utf-8")
    seen = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={tmp_path}/b",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom",
         (tmp_path / "data.html").as_uri()], capture_output=True, text=True, timeout=120, check=True).stdout
    assert "<title>data: expectations</title>" in seen and "document.title='run'" in seen and "<script" not in seen
    assert "values must belong to this set" in seen and "Refused" not in seen


def test_a_page_keeps_its_spaces_and_has_no_empty_parts() -> None:
    page = static_page("<p>Actions</p><p>Must have exactly <span>3</span> rows.</p><table><td>Actions</td></table>",
                       "t")
    assert "exactly <span>3</span> rows." in page and page.count("Actions") == 1 and "<td>Actions</td>" in page


def test_a_page_is_bounded() -> None:
    page = static_page(f"<body><p>{'x' * LONGEST}</p></body>", "t")
    assert len(page) < 5_000 and "too long" in page


def test_an_expectation_that_raises_is_broken_and_no_foreign_error_escapes(tmp_path: Path,
                                                                          caplog: pytest.LogCaptureFixture) -> None:
    import pandas as pd

    with caplog.at_level(logging.WARNING):
        result, page = run_suite("odd", pd.DataFrame({"a": [1]}), [
            Expectation("expect_column_values_to_be_between", {"column": "nowhere", "min_value": 0})])
    assert result.failed == ("column_values_to_be_between(column=nowhere, min_value=0.0)",) and "nowhere" in page
    assert not caplog.records
