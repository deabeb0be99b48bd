"""The page is made from results alone: the same bytes for the same results, and every text a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qstar_core.errors import DataError, StoreError
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
                 arms={"qstar": "q*", "rl": "RL", "nasty": NASTY}, subject="qstar", baseline="rl", baselines=("rl",),
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
    facts = main_study().model_copy(update={"baseline": "nasty", "worse": ("nasty",), "same": ("nasty",)})
    page = written(tmp_path, facts, planted(WANTED, FINAL))
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
    tables = page.split("it draws:")[1:]
    assert len(tables) == 2
    for table in tables:
        rows = [line for line in table.split("\n\n")[1].splitlines() if line.startswith("|")]
        assert rows[2].startswith(r"| q\*") and rows[-1].startswith(r"| \<script")


def smoke(folder: Path, worse: float, same: float) -> str:
    final = {"qstar": 0.7, "rl": 0.4, "worse": worse, "same": same}
    wanted = cells(tuple(final), seeds=range(4))
    facts = main_study(wanted).model_copy(update={
        "arms": {"qstar": "q*", "rl": "RFT", "worse": "planted worse", "same": "planted same"}, "worse": ("worse",),
        "same": ("same",)})
    return written(folder, facts, planted(wanted, final, problems=200))


def test_planted_arms_pass_or_fail_with_their_numbers(tmp_path: Path) -> None:
    good, bad = smoke(tmp_path / "good", 0.1, 0.7), smoke(tmp_path / "bad", 0.55, 0.2)
    assert "gap, planted worse: **pass**, it must rank last and is 4 of 4 with 0.1" in good
    assert "the lowest of the others is RFT with 0.4" in good and "gap, planted same: **pass**" in good
    assert "Planted arms: 2 of 2 are where they must be." in good
    assert "gap, planted worse: **FAIL**, it must rank last and is 2 of 4" in bad
    assert "gap, planted same: **FAIL**, it must not be told apart from q" in bad
    assert "p after Holm over 3 arms < 0.001" in bad and "0 of 2 are where they must be, so **nothing else" in bad


def test_the_page_names_its_real_baseline_and_its_families_of_questions(tmp_path: Path) -> None:
    page = smoke(tmp_path, 0.1, 0.7)
    assert "sample efficiency above 1.2× that of RFT" in page and "RL baseline" not in page
    assert "p (Holm over 3)" in page and "p after Holm over these 1" in page and " 0.000" not in page


def test_the_page_begins_with_what_came_out(tmp_path: Path) -> None:
    page = written(tmp_path / "a", main_study(), planted(WANTED, FINAL, problems=200))
    head = page.split("## ")[1]
    assert head.startswith("In short") and head.count("Regime ") == 2
    assert "q\\* has the best accuracy, 0." in head and "is shown to be better than every other arm" in head
    assert "it is shown to win against 2 of the 2 other arms and to lose to 0. Open: 0." in head
    assert "not met: gradient variance" in head and "The plan's verdict: **success (" in head
    lost = written(tmp_path / "b", main_study(), planted(WANTED, {**FINAL, "rl": 0.9}, problems=200)).split("## ")[1]
    assert "RL has the best accuracy" in lost and "is 2 of 3 with 0." in lost and "to lose to 1 (RL)" in lost
    better = written(tmp_path / "c", *search({"kl": 0.5, "uniform": 0.5, "x": 0.9, "y": 0.4})).split("## ")[1]
    assert "- Search: **Recommended: x.**" in better


def test_a_round_that_taught_nothing_is_marked(tmp_path: Path) -> None:
    results = planted(WANTED, FINAL)
    empty = tuple(result.model_copy(update={"points": tuple(
        point.model_copy(update={"kept": min(point.kept, 100)}) for point in result.points)})
        if (result.cell.arm, result.cell.seed, result.cell.regime) == ("rl", 1, "leak") else result
        for result in results)
    page = written(tmp_path / "a", main_study(), empty)
    assert "| RL | 3 | 233 † |" in page and "| RL | 3 | 300 |" in page
    assert page.count("†: trained on nothing, because no row was kept: RL in 2 of 9 rounds.") == 1
    assert "†" not in written(tmp_path / "b", main_study(), results)
    facts, results = ablation(0.8)
    none = tuple(result.model_copy(update={"points": tuple(point.model_copy(update={"kept": 0})
                                                           for point in result.points)}) for result in results[:3])
    page = written(tmp_path / "c", facts, (*none, *results[3:]))
    assert "| 3 | 0 † |" in page and "| 3 | 300 |" in page
    assert "q\\*, filter True, temperature 0.6 in 9 of 9 rounds." in page


def test_the_reference_is_compared_at_each_place_of_the_axes(tmp_path: Path) -> None:
    final = {0.6: {"kl": 0.8, "x": 0.4}, 1.0: {"kl": 0.5, "x": 0.5}}
    made = [(cells(("kl", "x"), axes={"temperature": at}), ends) for at, ends in final.items()]
    facts = Facts(name="grid", title="Grid", kind=Kind.GRID, arms={"kl": "q*", "x": "X"}, subject="kl",
                  expected=tuple(cell for wanted, _ in made for cell in wanted))
    results = tuple(result for wanted, ends in made for result in planted(wanted, ends, problems=200))
    page = written(tmp_path / "a", facts, results)
    table = page.split("against each arm, each at the same place of the axes:")[1]
    assert "p (Holm over 2)" in table
    cold, warm = (line.split(" | ") for line in table.splitlines() if line.startswith("| X"))
    assert (cold[1], cold[3]) == ("0.6", "< 0.001") and float(cold[2].split()[0]) > 0.65
    assert (warm[1], warm[5]) != ("0.6", "3 : 0 |") and float(warm[3]) > 0.05
    assert "against each arm" not in written(tmp_path / "b", facts.model_copy(update={"subject": None}), results)


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
    page = written(tmp_path / "seeds", facts, spoilt)
    assert "x **(chosen)**" in page and "**No candidate is recommended.**" in page
    half = tuple(result.model_copy(update={"points": (result.points[0], *(
        point.model_copy(update={"right": tuple(place % 2 == 0 for place in range(len(point.right)))})
        for point in result.points[1:]))}) if result.cell.arm == "x" else result for result in results)
    page = written(tmp_path / "problems", facts, half)
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


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the page into"):
        write_report(ORIGIN, [], [], [], tmp_path / "file" / "page")


@pytest.mark.parametrize(("text", "escaped"), [
    ("a|b", r"a\|b"), ("1. one", r"1\. one"), ("- x", r"\- x"), ("a\nb\tc", "a b c"), ("0.5 to 1", "0.5 to 1"),
    ("http://x", r"http\://x"), ("\u202eevil", "[U+202E]evil".replace("[", r"\[").replace("]", r"\]")),
])
def test_escaping(text: str, escaped: str) -> None:
    assert escape(text) == escaped
