"""Every measure is documented with its figures, and a figure leads to its measure."""

from __future__ import annotations

from pathlib import Path

import pytest

from qstar_core.errors import ConfigError
from qstar_core.evaluation.measures.registry import MEASURES, measurement_of, measurements

DOCUMENT = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")


def test_every_measure_is_documented():
    for name, measure in MEASURES.items():
        line = next(line for line in DOCUMENT.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"`{measure.figure}" in line
        assert {True: "more", False: "less", None: "–"}[measure.higher] in line.rsplit("|", 2)[1]


@pytest.mark.parametrize(("figure", "name"), [("pass@4", "pass_at_k"), ("rouge@L", "rouge"), ("cut", "length"),
                                              ("accuracy", "accuracy")])
def test_a_figure_leads_to_its_measure(figure, name):
    assert measurement_of(figure).name == name


@pytest.mark.parametrize("names", [("charm",), ("accuracy", "accuracy")])
def test_a_list_of_measures_is_checked(names):
    with pytest.raises(ConfigError, match="name each once"):
        measurements(names)
