"""From raw scores to probabilities, fitted to pairs that the model was not trained on.

`preference` is the probability that one reply is better than another of the same prompt, from the difference of their
scores: by a temperature (Bradley–Terry: σ(difference / T)) or by isotonic regression, symmetric in the two.
`probability` is that a reply by itself is a chosen one, for thresholds: a logistic curve through the scores of chosen
and rejected ones. Temperature and logistic curve are fitted with Platt's targets, so that a set without mistakes does
not claim to be certain.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, ValidationError

from qstar_core.errors import ConfigError, DataError, ModelError
from qstar_core.records import JsonObject, Record, content_hash
from qstar_core.store.integrity import sha256_file

Method = Literal["temperature", "isotonic"]
Doubles = npt.NDArray[np.float64]

KEY = "qstar_calibration"
_BOUNDS = (-12.0, 12.0)  # of log T
FEWEST = 5


class Calibration(Record):
    """`knots` are (difference, probability), rising in both; without any the temperature speaks. `weights` is the hash
    of those that the calibration is of."""

    temperature: float = Field(gt=0)
    knots: tuple[tuple[float, float], ...] = ()
    slope: float
    intercept: float
    pairs: int
    weights: str = ""

    def preference(self, difference: float) -> float:
        if self.knots:
            at, values = zip(*self.knots, strict=True)
            return float(np.interp(difference, at, values))
        return sigmoid(difference / self.temperature)

    def probability(self, raw: float) -> float:
        return sigmoid(self.slope * raw + self.intercept)


def sigmoid(x: float) -> float:
    return 0.5 * (1 + math.tanh(0.5 * x))


def fit(chosen: Doubles, rejected: Doubles, method: Method) -> Calibration:
    if len(chosen) < FEWEST:
        raise DataError(f"{len(chosen)} pairs are too few to calibrate a reward model",
                        f"hold out more pairs (reward.validation); {FEWEST} are the least")
    differences = chosen - rejected
    slope, intercept = _logistic(chosen, rejected)
    return Calibration(temperature=_temperature(differences), slope=slope, intercept=intercept, pairs=len(chosen),
                       knots=_isotonic(differences) if method == "isotonic" else ())


def _temperature(differences: Doubles) -> float:
    from scipy.optimize import minimize_scalar  # here: scipy takes a moment to load

    target = (len(differences) + 1) / (len(differences) + 2)

    def loss(log_temperature: float) -> float:
        z = differences * math.exp(-log_temperature)
        return float(np.mean(np.logaddexp(0, -z) + (1 - target) * z))

    return math.exp(float(minimize_scalar(loss, bounds=_BOUNDS, method="bounded").x))


def _isotonic(differences: Doubles) -> tuple[tuple[float, float], ...]:
    """Every pair counts both ways round, which makes the curve symmetric: p(−d) = 1 − p(d)."""
    from scipy.optimize import isotonic_regression

    at, which, counts = np.unique(np.concatenate([differences, -differences]), return_inverse=True, return_counts=True)
    wins = np.bincount(which, weights=np.repeat([1.0, 0.0], len(differences)))
    found = isotonic_regression(wins / counts, weights=counts.astype(float)).x
    steps = np.diff(found) != 0  # of a level stretch its two ends are enough
    kept = np.concatenate([[True], steps]) | np.concatenate([steps, [True]])
    return tuple((float(d), float(p)) for d, p in zip(at[kept], found[kept], strict=True))


def _logistic(chosen: Doubles, rejected: Doubles) -> tuple[float, float]:
    from scipy.optimize import minimize

    raw = np.concatenate([chosen, rejected])
    scale, centre = max(float(raw.std()), 1e-9), float(raw.mean())
    z = (raw - centre) / scale
    high = (len(chosen) + 1) / (len(chosen) + 2)
    target = np.repeat([high, 1 - high], [len(chosen), len(rejected)])

    def loss(of: Doubles) -> tuple[float, Doubles]:
        line = of[0] * z + of[1]
        error = 0.5 * (1 + np.tanh(0.5 * line)) - target
        return float(np.mean(np.logaddexp(0, line) - target * line)), np.array([np.mean(error * z), np.mean(error)])

    a, b = (float(value) for value in minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B").x)
    return a / scale, b - a * centre / scale


def weights_hash(folder: Path) -> str:
    """Of the weights alone: the calibration lies in the configuration beside them."""
    return content_hash({file.name: sha256_file(file) for file in sorted(folder.glob("*.safetensors"))})


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """Into config.json, which goes wherever the weights go and which every tool keeps."""
    config = _config(folder)
    bound = calibration.model_copy(update={"weights": weights_hash(folder)})
    text = json.dumps({**config, KEY: bound.model_dump(mode="json")}, indent=2) + "\n"
    part = folder / ".config.json.part"
    part.write_text(text, encoding="utf-8")
    part.replace(folder / "config.json")


def read_calibration(folder: Path) -> Calibration | None:
    """None where the checkpoint has none; ModelError where it is of other weights."""
    found = _config(folder).get(KEY)
    if found is None:
        return None
    again = "calibrate again: qstar reward report --save"
    try:
        calibration = Calibration.model_validate(found)
    except ValidationError:
        raise ModelError(f"the calibration in {folder / 'config.json'} is damaged", again) from None
    if calibration.weights != weights_hash(folder):
        raise ModelError(f"the calibration in {folder} is of other weights than those beside it",
                         f"take the checkpoint as it was saved, or {again}")
    return calibration


def check_calibrated(folder: Path) -> None:
    if read_calibration(folder) is None:
        raise ConfigError(f"the reward model in {folder} is not calibrated",
                          "give slope and intercept, or calibrate it: qstar reward report --save")


def _config(folder: Path) -> JsonObject:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ModelError(f"no usable config.json in {folder}", "give a complete checkpoint") from None
    if not isinstance(config, dict):
        raise ModelError(f"{folder / 'config.json'} holds no settings", "give a complete checkpoint")
    return config
