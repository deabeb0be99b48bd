"""What a reward model is worth on pairs that it was not trained on: accuracy, calibration, and what length does.

Accuracy is the share of pairs in which the chosen reply scores higher; equal scores are no success and are counted
apart. Calibration is cross-fitted: every pair is judged by a curve that was fitted to other prompts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qstar_core.errors import DataError
from qstar_core.records import Record, content_hash
from qstar_core.reward.calibration import FEWEST, Calibration, Doubles, Method, fit
from qstar_core.reward.pairs import PreferencePair

_BINS = 15
_MATCHED = 0.1


class Accuracy(Record):
    """`interval` is Wilson's, 95 %."""

    value: float
    pairs: int
    ties: int
    interval: tuple[float, float]


class LengthBias(Record):
    """Lengths are in words. Correlations are Spearman's; None where one side does not vary. `longer_is_chosen` is what
    the data say, `longer_is_preferred` what the model does, of the pairs of unequal length; `matched` are pairs whose
    lengths differ by at most a tenth."""

    score_with_length: float | None
    difference_with_length_difference: float | None
    longer_is_chosen: float | None
    longer_is_preferred: float | None
    matched: Accuracy | None
    chosen_longer: Accuracy | None
    chosen_shorter: Accuracy | None


class RewardReport(Record):
    """`ece_*` is the expected calibration error of the preference, over 15 bins of confidence: of the raw scores read
    as Bradley–Terry, and calibrated."""

    accuracy: Accuracy
    by_kind: dict[str, Accuracy]
    ece_before: float
    ece_after: float
    length: LengthBias


def report(pairs: Sequence[PreferencePair], chosen: Sequence[float], rejected: Sequence[float],
           method: Method) -> RewardReport:
    high, low = np.asarray(chosen, dtype=float), np.asarray(rejected, dtype=float)
    differences = high - low
    kinds: dict[str, list[int]] = defaultdict(list)
    for i, pair in enumerate(pairs):
        kinds[pair.kind].append(i)
    return RewardReport(
        accuracy=accuracy(differences),
        by_kind={kind: accuracy(differences[rows]) for kind, rows in sorted(kinds.items()) if kind},
        ece_before=calibration_error(differences, [_IDENTITY] * len(pairs)),
        ece_after=calibration_error(differences, _cross_fitted(pairs, high, low, method)),
        length=_length_bias(pairs, high, low),
    )


_IDENTITY = Calibration(temperature=1.0, slope=1.0, intercept=0.0, pairs=0)


def accuracy(differences: Doubles) -> Accuracy:
    from scipy.stats import binomtest  # here: scipy takes a moment to load

    wins = int((differences > 0).sum())
    low, high = binomtest(wins, len(differences)).proportion_ci(method="wilson")
    return Accuracy(value=wins / len(differences), pairs=len(differences), ties=int((differences == 0).sum()),
                    interval=(float(low), float(high)))


def calibration_error(differences: Doubles, curves: Sequence[Calibration]) -> float:
    """The mean distance between how sure the model is of the reply that it prefers and how often it is right."""
    sure = np.array([curve.preference(float(d)) for curve, d in zip(curves, np.abs(differences), strict=True)])
    right = (differences > 0) + 0.5 * (differences == 0)
    bins = np.clip(((sure - 0.5) * 2 * _BINS).astype(int), 0, _BINS - 1)
    gaps = np.bincount(bins, weights=right - sure, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(differences))


def _cross_fitted(pairs: Sequence[PreferencePair], chosen: Doubles, rejected: Doubles,
                  method: Method) -> list[Calibration]:
    """The curve for every pair, fitted to the half of the prompts that it is not in."""
    half = halves(pairs)
    curves = [fit(chosen[half != side], rejected[half != side], method) for side in (0, 1)]
    return [curves[side] for side in half]


def halves(pairs: Sequence[PreferencePair]) -> npt.NDArray[np.int64]:
    """0 or 1 for every pair, the same for all of a prompt. DataError where a half is too small to fit a curve to."""
    order = sorted({pair.prompt_id for pair in pairs}, key=lambda prompt_id: content_hash(["half", prompt_id]))
    first = set(order[: len(order) // 2])
    half = np.array([int(pair.prompt_id in first) for pair in pairs], dtype=np.int64)
    if min(int(half.sum()), int((1 - half).sum())) < FEWEST:
        raise DataError(f"{len(pairs)} pairs of {len(order)} prompts are too few to judge a reward model by",
                        "give more pairs, or hold out more of them (reward.validation)")
    return half


def _length_bias(pairs: Sequence[PreferencePair], chosen: Doubles, rejected: Doubles) -> LengthBias:
    of_chosen, of_rejected = (np.array([len(text.split()) for text in texts], dtype=float) for texts in (
        [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]))
    longer, differences = of_chosen - of_rejected, chosen - rejected
    unequal = longer != 0
    matched = np.abs(longer) <= _MATCHED * np.maximum(of_chosen, of_rejected)
    return LengthBias(
        score_with_length=_correlation(np.concatenate([chosen, rejected]), np.concatenate([of_chosen, of_rejected])),
        difference_with_length_difference=_correlation(differences, longer),
        longer_is_chosen=float((longer > 0)[unequal].mean()) if unequal.any() else None,
        longer_is_preferred=float((longer * differences > 0)[unequal].mean()) if unequal.any() else None,
        matched=_accuracy_of(differences, matched), chosen_longer=_accuracy_of(differences, longer > 0),
        chosen_shorter=_accuracy_of(differences, longer < 0),
    )


def _accuracy_of(differences: Doubles, rows: npt.NDArray[np.bool_]) -> Accuracy | None:
    return accuracy(differences[rows]) if rows.any() else None


def _correlation(first: Doubles, second: Doubles) -> float | None:
    from scipy.stats import spearmanr

    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(spearmanr(first, second).statistic)
