"""The figures of the theory: q* of two Gaussians, its divergences along α, the short cuts against the solved α, and the
price of going token by token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qstar_core.experiments.figures.style import COLOURS, INK, MARKERS, Drawing, legend_below, panels, styled, written
from qstar_core.experiments.interval import Interval, Values
from qstar_core.experiments.theory import gaussian
from qstar_core.experiments.theory.records import GaussianCase, Level, Sequences

_STUDENT, _TEACHER, _MIXED, _BALANCE = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[3]
_ALPHAS = np.linspace(0.0, 1.0, 101)
_SPREADS = (1.0, 2.0)
_POINTS = 120  # of a level: more hide each other


def plane(cases: Sequence[GaussianCase], name: str) -> Drawing:
    with styled():
        figure, all_axes = panels(len(cases), legend=6, share_y=False)
        for case, axes in zip(cases, all_axes, strict=True):
            theta, t = pair_of(case)
            for one, colour, label in ((theta, _STUDENT, "student"), (t, _TEACHER, "teacher")):
                _ellipses(axes, one, colour, label)
            _ellipses(axes, gaussian.mixture(theta, t, case.kl_alpha), _MIXED, "q*, KL symmetry")
            means = np.array([gaussian.mixture(theta, t, float(alpha)).mean for alpha in _ALPHAS])
            axes.plot(*means.T, color=INK, linewidth=1.2, linestyle=(0, (4, 2)), label="mean of q along α")
            for alpha, marker, colour, label in _marks(case):
                axes.plot(*gaussian.mixture(theta, t, alpha).mean, marker=marker, color=colour, markersize=8,
                          markeredgecolor=INK, linestyle="none", label=label)
            axes.set(title=case.name, aspect="equal")
        legend_below(figure, all_axes, columns=4)
        told = "; ".join(f"{case.name}: KL symmetry at α = {case.kl_alpha:.3f}, ESS balance at {case.ess_alpha:.3f}"
                         for case in cases)
        return Drawing(name, written(figure), f"{told}.", "Ellipses hold one and two standard deviations. The closed "
                       "form, without sampling: there is nothing to give an interval to.")


def along(cases: Sequence[GaussianCase], name: str) -> Drawing:
    """KL(q‖θ), KL(q‖t) and −log Z over α."""
    with styled():
        figure, all_axes = panels(len(cases), legend=5)
        for case, axes in zip(cases, all_axes, strict=True):
            theta, t = pair_of(case)
            mixed = [gaussian.mixture(theta, t, float(alpha)) for alpha in _ALPHAS]
            axes.plot(_ALPHAS, [gaussian.kl(q, theta) for q in mixed], color=_STUDENT, label="KL(q‖student)")
            axes.plot(_ALPHAS, [gaussian.kl(q, t) for q in mixed], color=_TEACHER, linestyle=(0, (5, 2)),
                      label="KL(q‖teacher)")
            axes.plot(_ALPHAS, [-gaussian.log_z(theta, t, float(alpha)) for alpha in _ALPHAS], color=_MIXED,
                      linestyle=(0, (1, 1.5)), linewidth=2.2, label="−log Z")
            top = -gaussian.log_z(theta, t, case.kl_alpha)
            axes.plot(case.kl_alpha, top, marker="o", color=_MIXED, markersize=8, markeredgecolor=INK,
                      linestyle="none", label="Chernoff point = KL symmetry")
            axes.axvline(case.ess_alpha, color=_BALANCE, linestyle=(0, (5, 1.5, 1, 1.5)), label="ESS balance")
            axes.set(title=case.name, xlabel="α, the teacher's weight", ylim=(0, 4 * top))
        all_axes[0].set_ylabel("nats")
        legend_below(figure, all_axes, columns=3)
        return Drawing(name, written(figure), "Both KLs are equal where −log Z is largest, in every panel.",
                       "Both divergences cross where −log Z has its top, and there all three are the Chernoff "
                       "information. The closed form, without sampling.")


def shortcuts(levels: Sequence[Level], name: str) -> Drawing:
    with styled():
        figure, (entropy, balance, errors) = panels(3, legend=len(levels), share_y=False)
        for level, colour, marker in zip(levels, _cycled(COLOURS, len(levels)), _cycled(MARKERS, len(levels)),
                                         strict=True):
            alpha_4_N = np.array(level.alpha[:_POINTS]).T
            look: dict[str, Any] = {"color": colour, "marker": marker, "s": 13, "alpha": 0.6, "linewidths": 0}
            entropy.scatter(alpha_4_N[0], alpha_4_N[2], label=level.name, **look)
            balance.scatter(alpha_4_N[0], alpha_4_N[1], **look)
        for axes, title in ((entropy, "α by the entropy formula"), (balance, "α where both ESS are equal")):
            axes.plot([0, 1], [0, 1], color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
            axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="α of KL symmetry", title=title, aspect="equal")
        _errors(errors, levels)
        legend_below(figure, [entropy], columns=4)
        told = "; ".join(f"{level.name}: entropy formula off by {level.entropy_error.told()}" for level in levels)
        return Drawing(name, written(figure), f"{told}.", "Each mark is a random pair of models; the dashed line is "
                       "agreement. Right: how far a short cut is from the solved α, mean and 95 % interval over pairs.")


def price(found: Sequences, name: str) -> Drawing:
    at = [place.position for place in found.positions]
    with styled():
        figure, (kl, apart) = panels(2, share_y=False)
        _bars(kl, at, [place.kl for place in found.positions], COLOURS[0], "o")
        _bars(apart, at, [place.apart for place in found.positions], COLOURS[1], "s")
        kl.set(xlabel="position of the token", ylabel="nats", title="KL(whole‖token by token)")
        apart.set(xlabel="position of the token", title="|α of the token − α of the whole|")
        for axes in (kl, apart):
            axes.set_xticks(at)
            axes.set_ylim(bottom=0)
        told = "; ".join(f"position {place.position}: {place.kl.told()} nats" for place in found.positions)
        return Drawing(name, written(figure), f"{told}.", f"Means over {found.chains} pairs of random Markov chains "
                       "with 95 % intervals. The last token needs no look ahead: there only α differs.")


def pair_of(case: GaussianCase) -> tuple[gaussian.Gaussian, gaussian.Gaussian]:
    return (gaussian.Gaussian.of(case.student_mean, case.student_covariance),
            gaussian.Gaussian.of(case.teacher_mean, case.teacher_covariance))


def _marks(case: GaussianCase) -> tuple[tuple[float, str, str, str], ...]:
    return ((case.kl_alpha, "o", _MIXED, "KL symmetry"), (case.ess_alpha, "^", _BALANCE, "ESS balance"),
            (0.5, "s", COLOURS[5], "α = 0.5"))


def _ellipses(axes: Any, one: gaussian.Gaussian, colour: str, label: str) -> None:
    """Points of equal density."""
    turn = np.linspace(0.0, 2 * np.pi, 181)
    round_ = np.stack([np.cos(turn), np.sin(turn)])
    shape = np.linalg.cholesky(one.covariance)
    for spread in _SPREADS:
        edge = one.mean[:, None] + spread * shape @ round_
        axes.fill(*edge, facecolor=colour, alpha=0.12, linewidth=0)
        axes.plot(*edge, color=colour, linewidth=1.8 if spread == 1 else 0.9, label=label if spread == 1 else None)


def _errors(axes: Any, levels: Sequence[Level]) -> None:
    at = np.arange(len(levels), dtype=np.float64)
    kinds = (("entropy", [level.entropy_error for level in levels], COLOURS[0], "o"),
             ("confidence", [level.confidence_error for level in levels], COLOURS[1], "s"),
             ("α = 0.5", [level.half_error for level in levels], COLOURS[2], "^"))
    for place, (label, found, colour, marker) in enumerate(kinds):
        _bars(axes, at + 0.2 * (place - 1), found, colour, marker, label)
    axes.set(xlim=(-0.6, len(levels) - 0.4), title="distance from KL symmetry")
    axes.set_xticks(at, [level.name for level in levels], rotation=40, ha="right")
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1])
    axes.legend(loc="upper center", ncols=len(kinds), columnspacing=1.0, handletextpad=0.2)


def _bars(axes: Any, at: Sequence[float] | Values, found: Sequence[Interval], colour: str, marker: str,
          label: str | None = None) -> None:
    value = np.array([one.value for one in found])
    away = np.array([[one.value - one.low for one in found], [one.high - one.value for one in found]])
    axes.errorbar(at, value, yerr=away, color=colour, marker=marker, markersize=6, capsize=3, linestyle="none",
                  label=label)


def _cycled(values: Sequence[str], count: int) -> list[str]:
    return [values[place % len(values)] for place in range(count)]
