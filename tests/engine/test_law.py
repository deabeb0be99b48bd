"""The joint law of the first tokens, enumerated in full by plain forwards and float64 sums."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from qstar_core.config import SupportSettings
from qstar_core.mixture.alpha import AlphaStatus
from tests.engine.models import ASSISTANT, END, USER, Duo, by_id, jobs, pair_of_prompts
from tests.laws import brute

PROMPT = pair_of_prompts("law", [USER, 5, 6, END, ASSISTANT], [USER, 5, 6, 7, 7, 5, END, ASSISTANT])
DEPTH = 3
VOCAB = 8


def solved(theta, t) -> float:
    return brute.root(theta, t)


def mistaken(theta, t) -> float:
    """The weights the wrong way round."""
    return 1 - brute.root(theta, t)


def next_token(duo: Duo, drawn: tuple[int, ...], alpha_of) -> np.ndarray:
    rows = []
    for model, ids in ((duo.student, PROMPT.student_ids), (duo.teacher, PROMPT.teacher_ids)):
        with torch.no_grad():
            logits = model.network(input_ids=torch.tensor([[*ids, *drawn]])).logits[0, -1, :VOCAB]
        rows.append(brute.normalise(logits.numpy()))
    return np.exp(brute.mix(*rows, alpha_of(*rows)))


def joint(duo: Duo, alpha_of) -> dict[tuple[int, ...], float]:
    """The probability of every completion of three tokens, or fewer that end with the end of the turn."""
    law: dict[tuple[int, ...], float] = {}
    open_ended = {(): 1.0}
    for _ in range(DEPTH):
        grown = {}
        for drawn, mass in open_ended.items():
            for token, share in enumerate(next_token(duo, drawn, alpha_of)):
                (law if token == END else grown)[(*drawn, token)] = mass * share
        open_ended = grown
    return law | open_ended


def p_value(seen: dict[tuple[int, ...], int], law: dict[tuple[int, ...], float]) -> float:
    """χ² with the rare completions in one cell."""
    total = sum(seen.values())
    assert set(seen) <= set(law)
    common = [drawn for drawn, mass in law.items() if mass * total >= 5]
    expected = np.array([*(law[drawn] * total for drawn in common), 0.0])
    found = np.array([*(seen.get(drawn, 0) for drawn in common), 0.0])
    expected[-1], found[-1] = total - expected.sum(), total - found.sum()
    return float(stats.chisquare(found, expected).pvalue)


@pytest.mark.parametrize("draws", [6_000, pytest.param(60_000, marks=pytest.mark.slow)])
def test_the_joint_of_three_tokens_is_that_of_the_mixture_and_of_no_other(eight: Duo, draws):
    law, wrong = joint(eight, solved), joint(eight, mistaken)
    assert sum(law.values()) == pytest.approx(1)
    assert len(law) == 1 + 7 + 49 * 8
    seen: dict[tuple[int, ...], int] = {}
    engine = eight.engine(slots=256, max_tokens=DEPTH, context=16, diagnostics=False)
    for one in by_id(engine.generate(jobs([PROMPT], draws))).values():
        seen[one.sample.token_ids] = seen.get(one.sample.token_ids, 0) + 1
    assert p_value(seen, law) >= 0.01
    assert p_value(seen, wrong) < 1e-6, "a wrong α must be noticed"


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_at_an_end_the_engine_is_one_of_the_models(eight: Duo, side):
    alpha = 0.0 if side == "student" else 1.0
    law = joint(eight, lambda theta, t: alpha)
    seen: dict[tuple[int, ...], int] = {}
    engine = eight.engine(slots=256, max_tokens=DEPTH, context=16, method="fixed", fixed=alpha)
    for one in by_id(engine.generate(jobs([PROMPT], 3_000))).values():
        seen[one.sample.token_ids] = seen.get(one.sample.token_ids, 0) + 1
        np.testing.assert_allclose(one.trace.logq, getattr(one.trace, "logp_t" if alpha else "logp_theta"), atol=1e-6)
    assert p_value(seen, law) >= 0.01


def test_the_trace_says_what_the_models_say(eight: Duo):
    found = by_id(eight.engine(slots=8, max_tokens=6, context=16).generate(jobs([PROMPT], 20)))
    for one in found.values():
        for at, token in itertools.islice(enumerate(one.sample.token_ids), 6):
            drawn = one.sample.token_ids[:at]
            for model, ids, logp in ((eight.student, PROMPT.student_ids, one.trace.logp_theta),
                                     (eight.teacher, PROMPT.teacher_ids, one.trace.logp_t)):
                with torch.no_grad():
                    logits = model.network(input_ids=torch.tensor([[*ids, *drawn]])).logits[0, -1]
                assert logp[at] == pytest.approx(brute.normalise(logits.numpy())[token], abs=1e-4)
            assert one.trace.token[at] == token
            exact = np.log(next_token(eight, drawn, lambda theta, t, at=at, one=one: float(one.trace.alpha[at])))
            assert one.trace.logq[at] == pytest.approx(exact[token], abs=1e-4)


def test_the_teacher_decides_the_first_token_and_its_control_tokens(eight: Duo):
    """Positions and special ids reach the mixture: those of the end of the turn and of the tokenizer."""
    assert eight.tokenizer.control_ids >= {END, USER, ASSISTANT}
    first = by_id(eight.engine(slots=8, max_tokens=4, context=16, teacher_first_token=True).generate(jobs([PROMPT], 9)))
    for one in first.values():
        assert (one.trace.status == AlphaStatus.POLICY).tolist() == [True] + [False] * (len(one.trace) - 1)
        assert one.trace.alpha[0] == 1
    special = eight.engine(slots=8, max_tokens=6, context=16, teacher_special_tokens=True)
    told = 0
    for one in by_id(special.generate(jobs([PROMPT], 40))).values():
        for at in range(len(one.trace)):
            ids = torch.tensor([[*PROMPT.teacher_ids, *one.sample.token_ids[:at]]])
            with torch.no_grad():
                likely = int(eight.teacher.network(input_ids=ids).logits[0, -1, :VOCAB].argmax())
            expected = likely in eight.tokenizer.control_ids
            told += expected
            assert (one.trace.status[at] == AlphaStatus.POLICY) == expected
    assert told


def test_limits_and_sharpening_reach_the_mixture(eight: Duo):
    def law(theta, t):
        def best(row):
            return brute.normalise(np.where(row >= np.sort(row)[-5], row, -np.inf))

        theta, t = best(theta), best(t)
        return brute.normalise(2 * brute.mix(theta, t, 0.5))

    rows = []
    for model, ids in ((eight.student, PROMPT.student_ids), (eight.teacher, PROMPT.teacher_ids)):
        with torch.no_grad():
            rows.append(brute.normalise(model.network(input_ids=torch.tensor([ids])).logits[0, -1, :VOCAB].numpy()))
    exact = law(*rows)
    engine = eight.engine(slots=8, max_tokens=1, context=16, method="fixed", fixed=0.5, sharpen=2.0,
                          support=SupportSettings(top_k=5))
    for one in by_id(engine.generate(jobs([PROMPT], 30))).values():
        assert one.trace.logq[0] == pytest.approx(exact[one.sample.token_ids[0]], abs=1e-4)
