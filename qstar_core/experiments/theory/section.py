"""The section of the page of evidence on the theory."""

from __future__ import annotations

from qstar_core.experiments.interval import Interval
from qstar_core.experiments.sections.base import Part
from qstar_core.experiments.sections.markdown import escape, figure, table
from qstar_core.experiments.theory import figures
from qstar_core.experiments.theory.records import GaussianCase, Level, Sequences, TheoryResult


class TheorySection:
    def __init__(self, name: str, title: str, result: TheoryResult) -> None:
        self._name, self._title, self._result = name, title, result

    def render(self) -> Part:
        found, name = self._result, self._name
        drawings = (figures.plane(found.gaussians, f"{name}-plane"), figures.along(found.gaussians, f"{name}-along"),
                    figures.shortcuts(found.levels, f"{name}-shortcuts"),
                    figures.price(found.sequences, f"{name}-price"))
        plane, along, shortcuts, price = (figure(drawing, title) for drawing, title in zip(drawings, (
            "q* of two Gaussians", "Divergences along α", "Short cuts", "The price of going token by token"),
            strict=True))
        parts = ["The solvers that sample, held against float64 arithmetic that shares no code with them.\n",
                 "### Two Gaussians\n", _gaussians(found.gaussians), plane, along,
                 "### Random models\n", _solvers(found.levels), _balance(found.levels), _shortcuts(found.levels),
                 shortcuts, "### Token by token, or whole sequences\n", _sequences(found.sequences), price]
        return Part(self._title or "Theory", "\n".join(parts), drawings)


def _gaussians(cases: tuple[GaussianCase, ...]) -> str:
    rows = [[escape(case.name), f"{case.kl_alpha:.4f}", f"{abs(case.chernoff - case.kl_alpha):.1e}",
             f"{abs(case.kl_alpha_grid - case.kl_alpha):.1e}", f"{case.ess_alpha:.4f}",
             f"{abs(case.ess_alpha_grid - case.ess_alpha):.1e}", " / ".join(f"{one:.3f}" for one in case.entropy)]
            for case in cases]
    return ("The mixture is a Gaussian again, so α is known in closed form. The solvers see the same densities on a "
            "grid. The entropy formula has no closed form to agree with: it depends on how finely the plane is cut "
            "(fine / half as fine).\n\n" + table(
                ["pair", "α, KL symmetry", "off the minimum of log Z", "solver off by", "α, ESS balance",
                 "solver off by", "entropy formula"], rows))


def _solvers(levels: tuple[Level, ...]) -> str:
    methods = [solver.method for solver in levels[0].solvers]
    rows = [[escape(level.name), str(level.pairs), *(f"{solver.largest_error:.1e}" for solver in level.solvers),
             str(sum(solver.unsolved for solver in level.solvers)), f"{level.residual:.1e}", f"{level.identity:.1e}"]
            for level in levels]
    return ("The largest distance of each solver's α from the float64 root; how many pairs it called unsolved; the "
            "largest |KL(q‖θ) − KL(q‖t)| that is left, in nats; and the largest distance of both KLs from the Chernoff "
            "information −min log Z.\n\n" + table(
                ["pairs", "number", *(escape(method) for method in methods), "unsolved", "residual", "identity"], rows))


def _balance(levels: tuple[Level, ...]) -> str:
    rows = [[escape(level.name), level.apart.told(), level.further.told(2)] for level in levels]
    return ("ESS balance is another condition than KL symmetry: the distance of their α, and how many times as far "
            "from ½ the former is (the slope through ½).\n\n" + table(["pairs", "distance", "times as far"], rows))


def _shortcuts(levels: tuple[Level, ...]) -> str:
    rows = [[escape(level.name), level.entropy_correlation.told(2), level.entropy_error.told(),
             level.confidence_correlation.told(2), level.confidence_error.told(), level.half_error.told(),
             _better(level.entropy_error, level.half_error)] for level in levels]
    return ("Entropy formula H_t/(H_θ+H_t) and its mirror image `confidence` against KL symmetry: correlation, and "
            "mean absolute error beside that of α = 0.5.\n\n" + table(
                ["pairs", "entropy, correlation", "error", "confidence, correlation", "error", "error of 0.5",
                 "better than 0.5"], rows))


def _better(one: Interval, other: Interval) -> str:
    if one.high < other.low:
        return "yes"
    return "no" if one.low > other.high else "not shown"


def _sequences(found: Sequences) -> str:
    rows = [["KL(token by token‖whole)", found.token_to_whole.told()],
            ["KL(whole‖token by token)", found.whole_to_token.told()],
            ["total variation of the two", found.tv.told()],
            ["Chernoff information of whole sequences", found.chernoff.told()],
            ["what token by token is farther from both models", found.excess.told()]]
    return (f"All {found.sequences:,} sequences of {found.chains} pairs of Markov chains. With α solved at every token "
            f"both KLs of whole sequences are equal too (largest difference {found.symmetry:.1e} nats), by the chain "
            "rule. The sequence-level target at its own Chernoff point is nearer to both models, by exactly KL(token "
            f"by token‖whole) (largest difference {found.identity:.1e}). With one α at every token, Σ log Z is the log "
            f"importance weight between the two (largest error {found.weight:.1e}).\n\n"
            + table(["in nats a sequence, over pairs of chains", "mean"], rows))
