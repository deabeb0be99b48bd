"""The page is made from results alone: the same bytes for the same results, and every text a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qstar_core.errors import DataError
from qstar_core.experiments.figures.style import Drawing
from qstar_core.experiments.records import Cell, CellResult
from qstar_core.experiments.report import Origin, write_report
from qstar_core.experiments.sections.base import Part
from qstar_core.experiments.sections.facts import Facts, Kind, NotRun
from qstar_core.experiments.sections.markdown import escape
from tests.experiments.planted import cells, planted

ORIGIN = Origin(title="Evidence", command="qstar experiment smoke", profile="smoke", machine="a | machine",
                versions={"torch": "2"}, commit="abc123")
NASTY = "<script>x</script> | `a` **b** [c](http://d) $e$\n# f"
FINAL = {"qstar": 0.7, "rl": 0.4, "nasty": 0.5}
WANTED = cells(tuple(FINAL), ("same", "leak"))


def main_study(expected: tuple[Cell, ...] = WANTED) -> Facts:
    return Facts(name="main", title=f"Main {NASTY}", kind=Kind.COMPARISON,
                 arms={"qstar": "q*", "rl": "RL", "nasty": NASTY}, subject="qstar", rl="rl", baselines=("rl",),
                 expected=expected)


def written(folder: Path, facts: Facts, results: tuple[CellResult, ...], *others: object) -> str:
    return write_report(ORIGIN, [(facts, results)], others, [], folder).read_text(encoding="utf-8")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_writes_are_the_same_bytes_whatever_the_order_of_the_results(tmp_path: Path) -> None:
    results = planted(WANTED, FINAL, noise=0.05)
    written(tmp_path / "a", main_study(), results)
    written(tmp_path / "b", main_study(), results[::-1])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert set(contents(tmp_path / "a")) == {
        "EXPERIMENTS.md", *(f"figures/main-{name}.svg" for name in ("learning", "ess", "alpha"))}


def test_every_text_stays_a_text(tmp_path: Path) -> None:
    page = written(tmp_path, main_study(), planted(WANTED, FINAL))
    assert "<script>" not in page and "\n# f" not in page and not re.search(r"(?<!\\)\]\(http", page)
    assert r"\<script\>x\</script\> \| \`a\` \*\*b\*\*" in page
    for table in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_a_page_names_where_it_comes_from_shows_its_figures_and_the_verdict(tmp_path: Path) -> None:
    page = written(tmp_path, main_study(), planted(WANTED, FINAL))
    for text in ("qstar experiment smoke", r"a \| machine", "torch 2", "abc123", "18 cells", "the plan's verdict",
                 "### Regime same", "### Regime leak", "never"):
        assert text in page
    shown = re.findall(r"!\[(.+?)\]\((figures/[a-z.-]+)\)", page)
    assert len(shown) == 3 and all((tmp_path / path).is_file() and len(text) > 40 for text, path in shown)


def test_a_planted_worse_arm_is_the_last_row(tmp_path: Path) -> None:
    page = written(tmp_path, main_study(), planted(WANTED, {**FINAL, "nasty": 0.05}, problems=200))
    tables = page.split("the best arm of the last round first:")[1:]
    assert len(tables) == 2
    for table in tables:
        rows = [line for line in table.split("\n\n")[1].splitlines() if line.startswith("|")]
        assert rows[2].startswith(r"| q\*") and rows[-1].startswith(r"| \<script")


def test_nothing_is_written_where_a_result_is_missing_or_there_twice(tmp_path: Path) -> None:
    results = planted(WANTED, FINAL)
    for wrong in (results[1:], (*results, results[0])):
        with pytest.raises(DataError) as error:
            written(tmp_path, main_study(), wrong)
        assert "\n" not in str(error.value) and "seed 0" in str(error.value)
    assert not list(tmp_path.iterdir())


def ablation(good: float) -> tuple[Facts, tuple[CellResult, ...]]:
    places = [({"temperature": 0.6, "filter": True}, good), ({"temperature": 1.0, "filter": False}, 0.4)]
    made = [(cells(("kl",), study="ablation", axes=axes), end) for axes, end in places]
    facts = Facts(name="ablation", title="Ablation", kind=Kind.GRID, arms={"kl": "q*"},
                  expected=tuple(cell for wanted, _ in made for cell in wanted))
    return facts, tuple(result for wanted, end in made for result in planted(wanted, {"kl": end}, problems=200))


def test_the_best_of_a_grid_is_marked_only_where_it_is_significantly_so(tmp_path: Path) -> None:
    clear, unclear = written(tmp_path / "a", *ablation(0.8)), written(tmp_path / "b", *ablation(0.42))
    assert r"| q\* **(best)** | True | 0.6 | 3 |" in clear and "better than every other after Holm" in clear
    assert "(best)" not in unclear and "No place of the grid is shown" in unclear


def test_nothing_is_compared_across_an_axis_that_is_apart(tmp_path: Path) -> None:
    facts, results = ablation(0.8)
    page = written(tmp_path, facts.model_copy(update={"apart": ("temperature",)}), results)
    assert "### Regime gap, temperature 0.6" in page and "### Regime gap, temperature 1.0" in page
    assert "(best)" not in page


def search(final: dict[str, float], development: tuple[int, ...] = (0, 1, 2)) -> tuple[Facts, tuple[CellResult, ...]]:
    wanted = cells(tuple(final), ("same", "leak"), range(6), study="search")
    facts = Facts(name="search", title="Search", kind=Kind.SEARCH, arms=dict.fromkeys(final, ""), subject="kl",
                  baselines=("uniform",), expected=wanted, development=development)
    return facts, planted(wanted, final, problems=200)


def test_a_better_candidate_is_recommended_and_an_equal_one_is_not(tmp_path: Path) -> None:
    better = written(tmp_path / "a", *search({"kl": 0.5, "uniform": 0.5, "x": 0.9, "y": 0.4}))
    assert "**Recommended: x.**" in better and "x **(chosen)**" in better
    equal = written(tmp_path / "b", *search({"kl": 0.5, "uniform": 0.5, "x": 0.5, "y": 0.4}))
    assert "**No candidate is recommended.**" in equal
    behind = written(tmp_path / "c", *search({"kl": 0.3, "uniform": 0.95, "x": 0.6, "y": 0.2}))
    assert "**No candidate is recommended.**" in behind and "behind uniform in same" in behind


def test_a_candidate_is_chosen_by_development_seeds_alone(tmp_path: Path) -> None:
    facts, results = search({"kl": 0.5, "uniform": 0.5, "x": 0.9, "y": 0.5})
    spoilt = tuple(result.model_copy(update={"points": (result.points[0], *(
        point.model_copy(update={"right": (False,) * len(point.right)}) for point in result.points[1:]))})
        if result.cell.arm == "x" and result.cell.seed not in facts.development else result for result in results)
    page = written(tmp_path, facts, spoilt)
    assert "x **(chosen)**" in page and "**No candidate is recommended.**" in page
    with pytest.raises(DataError, match="6 seeds to choose by and 0 to judge on"):
        written(tmp_path, facts.model_copy(update={"development": tuple(range(6))}), results)


class Beside:
    def __init__(self, name: str = "theory-gaussian") -> None:
        self._drawing = Drawing(name, "<svg/>", "a figure", "a caption")

    def render(self) -> Part:
        return Part("Theory", "Of its own.", (self._drawing,))


def test_a_study_of_another_kind_brings_its_own_section(tmp_path: Path) -> None:
    page = written(tmp_path, main_study(), planted(WANTED, FINAL), Beside())
    assert "## Theory\n\nOf its own." in page and (tmp_path / "figures/theory-gaussian.svg").is_file()
    for wrong in ([Beside("../x")], [Beside(), Beside()]):
        with pytest.raises(DataError, match="cannot be named"):
            write_report(ORIGIN, [], wrong, [], tmp_path)


def test_what_was_not_run_stands_there_with_its_reason(tmp_path: Path) -> None:
    page = write_report(ORIGIN, [], [], [NotRun(name="gpu", title="Qwen2.5 *7B*", reason="needs a GPU")], tmp_path)
    assert r"- **Qwen2.5 \*7B\*** (`gpu`): needs a GPU" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "escaped"), [
    ("a|b", r"a\|b"), ("1. one", r"1\. one"), ("- x", r"\- x"), ("a\nb\tc", "a b c"), ("0.5 to 1", "0.5 to 1"),
    ("http://x", r"http\://x"), ("\u202eevil", "[U+202E]evil".replace("[", r"\[").replace("]", r"\]")),
])
def test_escaping(text: str, escaped: str) -> None:
    assert escape(text) == escaped
