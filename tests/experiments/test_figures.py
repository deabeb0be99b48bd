"""Figures show every arm with its interval, look the same each time, and are told apart without their colours."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest

from qstar_core.experiments.figures.alpha import alpha_by_position
from qstar_core.experiments.figures.ess import ess_scatter
from qstar_core.experiments.figures.learning import learning_curves
from qstar_core.experiments.figures.style import COLOURS, INK, Drawing, looks
from qstar_core.experiments.statistics.lines import Line, arranged
from tests.experiments.planted import cells, planted

ARMS = ("qstar", "rl", "$x^2$")
LABELS = {"qstar": "q*", "rl": "_hidden", "$x^2$": "<b>&$x^2$"}
SVG = "{http://www.w3.org/2000/svg}"


def some_lines(**how: object) -> tuple[Line, ...]:
    wanted = cells(ARMS, ("same", "leak"))
    return arranged(planted(wanted, {"qstar": 0.6, "rl": 0.4, "$x^2$": 0.5}, **how), wanted)


def all_three(lines: tuple[Line, ...]) -> list[Drawing | None]:
    found = looks([ARMS], "qstar")
    groups = {"baselines": ARMS[:2], "controls": ("qstar", ARMS[2])}
    return [learning_curves(lines, "qstar", groups, found, LABELS, "learning"),
            ess_scatter(lines, "qstar", found, LABELS, "ess"),
            alpha_by_position(lines, "qstar", found, LABELS, "alpha")]


def test_two_drawings_are_the_same_bytes_and_name_no_day_and_no_other_place() -> None:
    first, again = all_three(some_lines()), all_three(some_lines())
    for one, other in zip(first, again, strict=True):
        assert one.svg == other.svg
        links = {value for element in ElementTree.fromstring(one.svg).iter() for name, value in element.attrib.items()
                 if name.endswith("href")}
        assert all(link.startswith("#") for link in links)
        assert "202" not in "".join(element.text or "" for element in ElementTree.fromstring(one.svg).iter()
                                    if element.tag.endswith("date"))


def test_a_figure_has_no_background_and_no_black_or_white() -> None:
    for one in all_three(some_lines()):
        root = ElementTree.fromstring(one.svg)
        patch = next(element for element in root.iter(f"{SVG}g") if element.get("id") == "patch_1")
        assert "fill: none" in patch[0].get("style") or "opacity: 0" in patch[0].get("style")
        assert "#000000" not in one.svg and "#ffffff" not in one.svg
        # Glyphs take the fill of their group: without one they would be black.
        assert all("fill" in (group.get("style") or "") for group in root.iter(f"{SVG}g")
                   if (group.get("id") or "").startswith("text_") for group in group.iter(f"{SVG}g")
                   if any(child.tag == f"{SVG}use" for child in group))


def contrast(colour: str, other: str) -> float:
    def light(text: str) -> float:
        parts = (int(text[at:at + 2], 16) / 255 for at in (1, 3, 5))
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted((light(colour), light(other)))
    return (bright + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#0d1117"])
def test_text_and_lines_stand_out_from_paper_and_from_a_dark_page(page: str) -> None:
    assert contrast(INK, page) >= 4
    assert min(contrast(colour, page) for colour in COLOURS) >= 2


def test_arms_of_a_panel_differ_without_their_colours() -> None:
    groups = [[f"a{at}" for at in range(9)], ["a0", *(f"b{at}" for at in range(9))]]
    found = looks(groups, "a0")
    for group in groups:
        assert len({(found[arm].colour, found[arm].marker, str(found[arm].dashes)) for arm in group}) == len(group)
        assert len({found[arm].colour for arm in group}) == len(COLOURS)
    assert [arm for arm in found if found[arm].colour == COLOURS[0]] == ["a0"]


def test_sixteen_arms_are_told_apart_in_grey() -> None:
    found = looks([[f"a{at}" for at in range(9)], ["a0", *(f"b{at}" for at in range(7))]], "a0")
    assert len({(look.marker, look.hollow) for look in found.values()}) == len(found) == 16
    assert {look.mark["markerfacecolor"] == "none" for look in found.values() if look.hollow} == {True}


def many(subject: float = 0.2, **kept: int) -> tuple[Line, ...]:
    final = {"qstar": subject, "a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}
    wanted = cells(tuple(final))
    results = [result for cell in wanted for result in planted([cell], final, kept=kept.get(cell.arm, 100))]
    return arranged(results, wanted)


def learnt(lines: tuple[Line, ...]) -> Drawing:
    arms = tuple(dict.fromkeys(line.arm for line in lines))
    labels = dict(zip(arms, arms, strict=True))
    return learning_curves(lines, "qstar", {"all": arms}, looks([arms], "qstar"), labels, "x")


def test_an_arm_that_keeps_far_more_does_not_squeeze_the_others() -> None:
    assert "samples kept, logarithmic beyond 300" in learnt(many(d=5000)).svg
    assert "logarithmic" not in learnt(many()).svg and "logarithmic" not in learnt(many(d=250)).svg


def test_a_figure_is_told_by_its_best_arms_and_the_one_it_is_about() -> None:
    told = learnt(many()).text
    assert "of 5 arms: a 0." in told and ", qstar 0." in told and ", d 0." not in told and told.count("(0.") == 4
    lines = many()
    arms = tuple(line.arm for line in lines)
    labels = dict(zip(arms, arms, strict=True))
    scatter = ess_scatter(lines, "qstar", looks([arms], "qstar"), labels, "ess")
    assert scatter.text == "gap, ESS ratio, of 5 arms that mix: qstar 1."
    assert "those of 4 other arms between 0.45 and 0.60" in alpha_by_position(
        lines, "qstar", looks([arms], "qstar"), labels, "alpha").text
    assert scatter.svg.rindex('id="PathCollection_') < scatter.svg.index('id="LineCollection_'), "faint marks lie below"


def test_intervals_are_drawn_and_told() -> None:
    calm, wild = (all_three(some_lines(noise=noise))[0] for noise in (0.0, 0.25))
    assert calm.text.count("(0.") == wild.text.count("(0.") == 6
    bars = [element for element in ElementTree.fromstring(wild.svg).iter(f"{SVG}g")
            if (element.get("id") or "").startswith("LineCollection")]
    bands = [element for element in ElementTree.fromstring(wild.svg).iter(f"{SVG}g")
             if (element.get("id") or "").startswith("FillBetween")]
    assert len(bars) == 4 + 2  # two regimes, two groups, and the legend
    assert len(bands) == 4


def test_nothing_mixed_has_no_figure() -> None:
    _, ess, alpha = all_three(some_lines(mixing=dict.fromkeys(ARMS)))
    assert ess is None and alpha is None


def test_positions_that_few_samples_reach_are_left_out() -> None:
    lines = some_lines()
    table = (*lines[0].cells[0].mixing.alpha_by_position, (0.99, 0.98, 1.0, 1))
    cells_ = tuple(cell.model_copy(update={"mixing": cell.mixing.model_copy(update={"alpha_by_position": table})})
                   for cell in lines[0].cells)
    longer = Line(lines[0].regime, lines[0].arm, (), lines[0].seeds, cells_, lines[0].rounds, lines[0].right_S_R_N,
                  lines[0].kept_S_R)
    told = alpha_by_position((longer,), "qstar", looks([ARMS], "qstar"), LABELS, "alpha").text
    assert "to 0.60" in told and "0.99" not in told
    assert np.isfinite(longer.kept_S_R).all()
