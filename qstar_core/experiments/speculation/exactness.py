"""Does speculation draw from q*, and from nothing else? A setting that can be enumerated: two tokens, short samples.

The law is made by plain forwards and float64 roots that share no code with the engine or its solvers. A test with α the
wrong way round must find the difference.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
from scipy import stats

from qstar_core.engine.adaptive import Adaptive
from qstar_core.engine.hf import LoadedModel
from qstar_core.engine.lockstep import Lockstep
from qstar_core.engine.speculative import Speculative
from qstar_core.engine.strategy import Strategy
from qstar_core.experiments.interval import Values
from qstar_core.experiments.speculation.models import CONTEXT, Duo, random_duo
from qstar_core.experiments.speculation.records import Exactness
from qstar_core.experiments.speculation.settings import SpeculationStudy
from qstar_core.experiments.speculation.stand import Stand
from qstar_core.experiments.theory import exact
from qstar_core.records import PromptPair

VOCAB = 2
_SLOTS = 256
_SPREAD = 4.0, 16.0  # a flat student and a sure teacher: α is far from ½
_FEWEST = 5.0
Tokens = tuple[int, ...]
Alpha = Callable[[Values, Values], float]


def checked(settings: SpeculationStudy) -> tuple[tuple[Exactness, ...], float]:
    """What every way's samples say, and what those of lockstep say about a wrong law."""
    duo = random_duo(32, 2, _SPREAD, settings.seed)
    pair = duo.pairs(1)[0]
    stand = Stand(duo.student, duo.teacher, duo.tokenizer, [pair] * _SLOTS, CONTEXT, VOCAB)
    law = enumerated(duo, pair, settings.length, exact.kl_root)
    ways = ways_of(stand, settings.drafts)
    drawn = {name: _drawn(stand, way, settings, first=number * settings.samples)
             for number, (name, way) in enumerate(ways.items())}
    direct = drawn["lockstep"]
    found = tuple(Exactness(
        way=name, samples=settings.samples, p_law=p_law(Counter(seen), law),
        p_direct=None if seen is direct else p_same(Counter(seen), Counter(direct)),
        same=None if seen is direct else _same(stand, seen[:_SLOTS], settings, number * settings.samples),
    ) for number, (name, seen) in enumerate(drawn.items()))
    wrong = enumerated(duo, pair, settings.length, lambda theta, t: 1.0 - exact.kl_root(theta, t))
    return found, p_law(Counter(direct), wrong)


def ways_of(stand: Stand, drafts: tuple[int, ...]) -> dict[str, Strategy]:
    return {
        "lockstep": Lockstep(stand.models, stand.mixer),
        **{f"k={draft}": Speculative(stand.models, stand.mixer, draft, fixed_shapes=False) for draft in drafts},
        "adaptive": Adaptive(stand.models, stand.mixer, torch.device("cpu"), time.process_time),
    }


def enumerated(duo: Duo, pair: PromptPair, length: int, alpha_of: Alpha) -> dict[Tokens, float]:
    """The probability of every sample of so many tokens."""
    every = list(itertools.product(range(VOCAB), repeat=length))
    theta, t = _next(duo.student, pair.student_ids, every), _next(duo.teacher, pair.teacher_ids, every)
    known: dict[Tokens, Values] = {}
    law = {}
    for row, tokens in enumerate(every):
        total = 0.0
        for at, token in enumerate(tokens):
            if tokens[:at] not in known:
                ours, theirs = exact.normalised(theta[row, at]), exact.normalised(t[row, at])
                known[tokens[:at]] = exact.mixture(ours, theirs, alpha_of(ours, theirs))
            total += known[tokens[:at]][token]
        law[tokens] = float(np.exp(total))
    return law


def p_law(seen: Counter[Tokens], law: dict[Tokens, float]) -> float:
    """χ² of a sample against a law, the rare completions together; where even together they are rare, with the rarest
    of the others."""
    total = seen.total()
    common = [tokens for tokens, mass in law.items() if mass * total >= _FEWEST]
    expected = np.array([law[tokens] * total for tokens in common])
    found = np.array([seen[tokens] for tokens in common], dtype=np.float64)
    left, rest = total - expected.sum(), total - found.sum()
    if left >= _FEWEST or len(common) < 2:
        expected, found = np.append(expected, left), np.append(found, rest)
    else:
        rarest = int(expected.argmin())
        expected[rarest] += left
        found[rarest] += rest
    return float(stats.chisquare(found, expected).pvalue)


def p_same(one: Counter[Tokens], other: Counter[Tokens]) -> float:
    """χ² of two samples of one unknown law."""
    both = one + other
    common = [tokens for tokens, count in both.items() if count >= 2 * _FEWEST]
    table = np.array([[side[tokens] for tokens in common] for side in (one, other)])
    rest = np.array([[side.total()] for side in (one, other)]) - table.sum(axis=1, keepdims=True)
    table = np.hstack([table, rest]) if rest.sum() >= 2 * _FEWEST else table
    return float(stats.chi2_contingency(table).pvalue)


def _next(model: LoadedModel, prompt: Tokens, every: list[Tokens]) -> Values:
    """[samples, tokens, VOCAB]: the logits that each token was drawn from."""
    with torch.no_grad():
        ids = torch.tensor([[*prompt, *tokens[:-1]] for tokens in every])
        logits = torch.cat([model.network(input_ids=ids[row : row + _SLOTS]).logits[:, len(prompt) - 1:, :VOCAB]
                            for row in range(0, len(ids), _SLOTS)])
    return logits.double().numpy()


def _drawn(stand: Stand, way: Strategy, settings: SpeculationStudy, first: int) -> list[Tokens]:
    return [tokens for draw in range(first, first + settings.samples, _SLOTS)
            for tokens in stand.samples(way, settings.length, draw)]


def _same(stand: Stand, seen: list[Tokens], settings: SpeculationStudy, first: int) -> float:
    lockstep = stand.samples(Lockstep(stand.models, stand.mixer), settings.length, first)
    return float(np.mean([one == other for one, other in zip(seen, lockstep, strict=True)]))
