"""The card's head is YAML whatever the dataset holds, and no text of it breaks the page."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from qstar_core.config import Settings
from qstar_core.records import FunnelStep, GateReport, ModelRef
from qstar_core.stages.card import dataset_card
from qstar_core.stages.plan import Plan
from qstar_core.stages.refine import Staged


def card(kept: int = 5, **changes: Any) -> str:
    settings = Settings().model_dump(mode="json")
    settings["prompts"]["teacher"] = changes.pop("teacher", "{{ question }}")
    settings["sampling"]["sharpen"] = changes.pop("sharpen", 1.0)
    settings["support"]["top_k"] = changes.pop("top_k", None)
    settings["alpha"]["policy"]["name"] = changes.pop("policy", "constant")
    reason, model = changes.pop("reason", "wrong"), changes.pop("model", "m")
    plan = Plan(key="k", dataset="demo", round="r", version="r-1", sampling_hash="a", config_hash="b",
                settings=settings, models={"student": ModelRef(name=model, path="p", revision=None, sha256="0")},
                context=9, samples=9, shards=(), rejects=(), funnel=(), run_id="x", created="now")
    funnel = (FunnelStep(stage="answer", entered=9, kept=kept, dropped={reason: 9 - kept}),)
    return dataset_card(plan, Staged(files=(), funnel=funnel, samples=9, kept=kept, failed=0, tokens=1, seconds=1.0),
                        GateReport(checks=()))


def test_the_head_names_the_data_files() -> None:
    head = yaml.safe_load(card().split("---\n")[1])
    assert {entry["config_name"]: entry["data_files"][0]["path"] for entry in head["configs"]} == {
        "default": "data/data.parquet", "diagnostics": "diagnostics/diagnostics.parquet"}


@pytest.mark.parametrize(("kept", "size"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**5, "100K<n<1M"),
                                            (10**6, "n>1M")])
def test_the_size_is_a_category_of_the_hub(kept: int, size: str) -> None:
    assert yaml.safe_load(card(kept).split("---\n")[1])["size_categories"] == [size]


@given(text=st.text(alphabet="a`|<>-#\n\r \x0b{}", max_size=30))
def test_no_text_leaves_its_place(text: str) -> None:
    made = card(teacher=text, reason=text, model=text)
    assert "a\n```" not in made
    table = made.split("## Funnel\n")[1].strip("\n")
    assert table.count("\n") == 2 and table.rpartition("\n")[2].startswith("| answer | 9 |")
    assert len(re.findall(r"(?<!\\)\|", table.rpartition("\n")[2])) == 5, "four cells"
    block = made.split("in none of the data files; report.html shows it):\n\n")[1].split("\n\n## Funnel")[0]
    assert all(line.startswith("      ") for line in block.split("\n"))


def test_what_shapes_the_mixture_beyond_the_usual_is_said() -> None:
    assert not any(name in card() for name in ("sharpen", "support", "policy", "teacher_first"))
    made = card(sharpen=2.0, top_k=5, policy="by_position")
    assert "sampling.sharpen `2.0`" in made and '"top_k": 5' in made and '"name": "by_position"' in made
