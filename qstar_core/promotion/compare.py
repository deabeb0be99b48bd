"""A new student beside the line's student on the problems of one round: both scores, and the decision."""

from __future__ import annotations

from dataclasses import dataclass

from qstar_core.config import SetRole, Settings
from qstar_core.errors import ConfigError
from qstar_core.evaluation.divergence import divergence
from qstar_core.evaluation.evaluate import OnProgress, evaluate
from qstar_core.evaluation.judging import Judge, judge_of
from qstar_core.evaluation.score import Measure, Score
from qstar_core.evaluation.suite import Suite, problems, rotating_suite
from qstar_core.evaluation.win_rate import WinRate, win_rate
from qstar_core.promotion.decide import INFINITE, check_figures, decide
from qstar_core.promotion.decision import Decision
from qstar_core.records import ModelRef
from qstar_core.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Comparison:
    """`kl` is None where it is infinite or was not asked for, `win_rate` where no judge is named."""

    suite: Suite
    old: Score | None
    new: Score
    kl: Measure | None
    win_rate: WinRate | None
    decision: Decision


def compare(settings: Settings, store: ObjectStore, old: ModelRef | None, new: ModelRef, round_name: str,
            judge: Judge | None = None, on_progress: OnProgress | None = None) -> Comparison:
    """On the rotating suite of the line and round. `judge` stands in for the one of the settings."""
    wanted = settings.promotion
    check_figures(wanted, settings.evaluation)
    if wanted.min_win_rate is not None and judge is None and not settings.evaluation.judge.named:
        raise ConfigError("promotion.min_win_rate needs a judge", "set evaluation.judge")
    suite = rotating_suite(settings, store, settings.student.line, round_name)
    after = evaluate(settings, store, new, suite, on_progress)
    if old is None or old.sha256 == new.sha256:
        before = None if old is None else after
        return Comparison(suite, before, after, None, None, decide(before, after, wanted))
    before = evaluate(settings, store, old, suite, on_progress)
    kl = None if wanted.max_kl is None else divergence(settings, old, new, problems(suite, wanted.kl_prompts))
    preferred = _win_rate(settings, store, suite, before, after, judge)
    decision = decide(before, after, wanted, INFINITE if kl is None else kl,
                      None if preferred is None else preferred.length_controlled)
    return Comparison(suite, before, after, kl, preferred, decision)


def _win_rate(settings: Settings, store: ObjectStore, suite: Suite, before: Score, after: Score,
              judge: Judge | None) -> WinRate | None:
    if judge is None:
        if not settings.evaluation.judge.named:
            return None
        judge = judge_of(settings, store)
    target = suite.set_of(SetRole.TARGET)
    return win_rate(before.set_of(target.name), after.set_of(target.name), target.prompts, judge,
                    settings.evaluation.confidence)
