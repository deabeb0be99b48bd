"""Two scores on one suite → promote or keep.

The target must be better by a paired one-sided test; every margin must be shown by the bound of an interval of the same
level, so that too few problems keep the old student instead of letting a worse one pass. All have to hold, which needs
no correction for their number. A missing measure or a number that is none is an error, never a reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from qstar_core.config import EvaluationSettings, PromotionSettings, SetRole
from qstar_core.errors import ConfigError, DataError
from qstar_core.evaluation.measures.base import Measurement
from qstar_core.evaluation.measures.registry import measurement_of
from qstar_core.evaluation.paired import better, difference, paired, ratio
from qstar_core.evaluation.score import Measure, Score, SetScore
from qstar_core.promotion.decision import Decision, Reason

INFINITE = "infinite"
Divergence = Measure | str
"""KL(new‖old), or INFINITE."""


def decide(old: Score | None, new: Score, settings: PromotionSettings, kl: Divergence | None = None,
           win_rate: Measure | None = None) -> Decision:
    """`kl` and `win_rate` are needed where the settings bound them. Without an old student the new one is the first."""
    if new.final or (old is not None and old.final):
        raise ConfigError("the final suite never decides", "decide on the suite of a round")
    if old is None:
        first = Reason(name="first", passed=True, told="the line has no student yet, and no other model is in use")
        return Decision(old=None, new=new.checkpoint, suite=new.suite, reasons=(first,))
    if old.suite != new.suite:
        raise DataError(f"{old.model} and {new.model} were scored on different suites",
                        "evaluate both on the suite of the same round, with the same settings")
    if old.sha256 == new.sha256:
        same = Reason(name="same", passed=False, told="the new student has the old one's weights")
        return Decision(old=old.checkpoint, new=new.checkpoint, suite=new.suite, reasons=(same,))
    reasons = (*_target(old, new, settings), *_margins(old, new, settings), *_length(old, new, settings),
               *_divergence(kl, settings), *_preferred(win_rate, settings))
    return Decision(old=old.checkpoint, new=new.checkpoint, suite=new.suite, reasons=reasons)


def check_figures(promotion: PromotionSettings, evaluation: EvaluationSettings) -> None:
    """ConfigError where a decision will need a figure that nobody measures: said before anything is sampled."""
    _directed("promotion.measure", promotion.measure)
    needed = {"promotion.measure": [promotion.measure],
              "promotion.margins": [figure for figure, margin in promotion.margins.items() if margin is not None],
              "promotion.max_length_ratio": [] if promotion.max_length_ratio is None else ["length"]}
    for setting, figures in needed.items():
        for figure in figures:
            name = measurement_of(figure).name
            if name not in evaluation.measures:
                raise ConfigError(f"{setting} needs {figure}, and evaluation.measures lacks {name}",
                                  f"add {name} to it, or leave that bound empty")


def _directed(setting: str, figure: str) -> tuple[Measurement, bool]:
    """The measurement, and whether more of it is better."""
    measurement = measurement_of(figure)
    if measurement.higher is None:
        raise ConfigError(f"{setting} names {figure}: neither more nor less of it is better",
                          "name another figure; promotion.max_length_ratio bounds lengths")
    return measurement, measurement.higher


def _target(old: Score, new: Score, settings: PromotionSettings) -> Iterator[Reason]:
    figure = settings.measure
    measurement, higher = _directed("promotion.measure", figure)
    before, after = _target_set(old), _target_set(new)
    pairs = paired(before, after, figure)
    test = better(pairs, higher)
    change = difference(pairs, measurement.transform, _two_sided(settings))
    yield Reason(name=f"{after.name}/{figure} better", passed=test.p < settings.level, value=change.value,
                 low=change.low, high=change.high, threshold=settings.level, p=test.p,
                 told=f"{test.statistic}, p = {test.p:.3g}, must be below {settings.level:g}")
    gain = change.value if higher else -change.value
    if settings.min_gain > 0:
        yield Reason(name=f"{after.name}/{figure} gain", passed=gain >= settings.min_gain, value=gain,
                     threshold=settings.min_gain,
                     told=f"gain {gain:.4g}, must be at least {settings.min_gain:g}")


def _margins(old: Score, new: Score, settings: PromotionSettings) -> Iterator[Reason]:
    """Guard sets on every figure with a margin; the target set too, except on the figure that decides."""
    for figure, margin in sorted(settings.margins.items()):
        if margin is None:
            continue
        measurement, higher = _directed("promotion.margins", figure)
        for after in new.sets:
            decides = after.role is SetRole.TARGET and figure == settings.measure
            if after.role is SetRole.REPORT or decides:
                continue
            pairs = paired(old.set_of(after.name), after, figure)
            change = difference(pairs, measurement.transform, _two_sided(settings))
            worse = -change.low if higher else change.high
            yield Reason(name=f"{after.name}/{figure} not worse", passed=worse < margin, value=change.value,
                         low=change.low, high=change.high, threshold=margin,
                         told=f"new − old = {change.value:.4g}, may be worse by {max(worse, 0.0):.4g}, must be less "
                              f"than {margin:g}")


def _length(old: Score, new: Score, settings: PromotionSettings) -> Iterator[Reason]:
    limit = settings.max_length_ratio
    if limit is None:
        return
    after = _target_set(new)
    change = ratio(paired(_target_set(old), after, "length"), _two_sided(settings))
    yield Reason(name=f"{after.name}/length drift", passed=1 / limit <= change.value <= limit, value=change.value,
                 low=change.low, high=change.high, threshold=limit,
                 told=f"replies are {change.value:.3g} times as long, must be {1 / limit:.3g} to {limit:g}")


def _divergence(kl: Divergence | None, settings: PromotionSettings) -> Iterator[Reason]:
    limit = settings.max_kl
    if limit is None:
        return
    if kl is None:
        raise DataError("promotion.max_kl is set, and KL(new‖old) was not measured", "measure it, or leave it empty")
    if isinstance(kl, str):
        yield Reason(name="KL(new‖old)", passed=False, threshold=limit,
                     told="infinite: the old student cannot say what the new one says")
        return
    yield Reason(name="KL(new‖old)", passed=kl.value <= limit, value=kl.value, low=kl.low, high=kl.high,
                 threshold=limit, told=f"{kl.value:.4g} nats per token, must be at most {limit:g}")


def _preferred(win_rate: Measure | None, settings: PromotionSettings) -> Iterator[Reason]:
    limit = settings.min_win_rate
    if limit is None:
        return
    if win_rate is None or win_rate.low is None:
        raise DataError("promotion.min_win_rate is set, and there is no win rate with an interval",
                        "name a judge in evaluation.judge")
    yield Reason(name=win_rate.name, passed=win_rate.low >= limit, value=win_rate.value, low=win_rate.low,
                 high=win_rate.high, threshold=limit,
                 told=f"{win_rate.value:.3g}, at least {win_rate.low:.3g}, must be at least {limit:g}")


def _target_set(score: Score) -> SetScore:
    return next(one for one in score.sets if one.role is SetRole.TARGET)


def _two_sided(settings: PromotionSettings) -> float:
    """The confidence whose one side has the level of the tests."""
    return 1 - 2 * settings.level
