"""The study of speculation tells what happens: exactness is found where it is and missed where it is not, and ratios
and acceptance are those of the runs."""

from __future__ import annotations

from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from qstar_core.engine.lockstep import Lockstep
from qstar_core.engine.speculative import Speculative
from qstar_core.engine.statistics import Statistics
from qstar_core.experiments.speculation import exactness
from qstar_core.experiments.speculation.models import CONTEXT, Duo, dearer, parameters, random_duo
from qstar_core.experiments.speculation.section import SpeculationSection
from qstar_core.experiments.speculation.settings import CostPair, SpeculationStudy
from qstar_core.experiments.speculation.stand import Stand
from qstar_core.experiments.speculation.study import measured, plan
from qstar_core.experiments.theory import exact
from qstar_core.mixture.alpha import AlphaOptions
from qstar_core.mixture.mixer import Mixer

PAIR = CostPair(name="random-4x", models="random", times=4)
SMALL = SpeculationStudy(name="speculation", pairs=(PAIR,), drafts=(2, 5), slots=(2,), tokens=8, turns=3, settle=16,
                         hidden=32, samples=1024, length=6)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def result():
    heard = []
    found = measured(SMALL, lambda *step: heard.append(step))
    assert [step[1:] for step in heard] == [(0, 2), (1, 2)]
    return found


@pytest.fixture(scope="module")
def duo() -> Duo:
    return random_duo(32, 4, (4.0, 4.0), seed=0)


def stand_of(duo: Duo, teacher=None, slots: int = 4) -> Stand:
    return Stand(duo.student, teacher or duo.teacher, duo.tokenizer, duo.pairs(slots), CONTEXT, duo.vocab)


def test_every_way_is_exact_and_a_wrong_law_is_not(result):
    assert [one.way for one in result.exactness] == ["lockstep", "k=2", "k=5", "adaptive"]
    assert all(one.same == 1.0 for one in result.exactness[1:])
    assert result.sequences == 64 and result.p_wrong < 1e-4
    assert result.exact
    assert not result.model_copy(update={"p_wrong": 0.5}).exact, "a test without power shows nothing"
    spoiled = result.exactness[1].model_copy(update={"p_law": 1e-6})
    assert not result.model_copy(update={"exactness": (spoiled, *result.exactness[2:])}).exact


def test_a_way_that_draws_from_another_mixture_is_found_out():
    duo = random_duo(32, 2, (4.0, 16.0), seed=0)
    pair = duo.pairs(1)[0]
    stand = Stand(duo.student, duo.teacher, duo.tokenizer, [pair] * 256, CONTEXT, exactness.VOCAB)
    law = exactness.enumerated(duo, pair, 6, exact.kl_root)
    assert sum(law.values()) == pytest.approx(1)
    other = Speculative(stand.models, Mixer(AlphaOptions("fixed", 0.0)), 3, False)
    seen = {name: [tokens for draw in range(0, 1024, 256) for tokens in stand.samples(way, 6, first + draw)]
            for name, way, first in (("right", Lockstep(stand.models, stand.mixer), 0), ("wrong", other, 5000))}
    assert exactness.p_law(Counter(seen["right"]), law) > 0.001
    assert exactness.p_law(Counter(seen["wrong"]), law) < 1e-6
    assert exactness.p_same(Counter(seen["wrong"]), Counter(seen["right"])) < 1e-6


def test_samples_of_one_law_are_rarely_called_different():
    rng = np.random.default_rng(0)
    law = {(token,): mass for token, mass in enumerate(rng.dirichlet(np.full(30, 0.5)))}

    def drawn() -> Counter:
        return Counter((int(token),) for token in rng.choice(30, 2000, p=list(law.values())))

    goodness = [exactness.p_law(drawn(), law) for _ in range(200)]
    alike = [exactness.p_same(drawn(), drawn()) for _ in range(200)]
    for found in (goodness, alike):
        assert 2 <= sum(p < 0.05 for p in found) <= 24
        assert 60 <= sum(p < 0.5 for p in found) <= 140


def test_a_token_that_cannot_be_is_found_out():
    law = {(0,): 0.999999, (1,): 0.000001}
    assert exactness.p_law(Counter({(0,): 900, (1,): 100}), law) < 1e-6


def test_costs_are_those_of_the_pair(result):
    cost = result.costs[0]
    assert (cost.pair, cost.slots) == ("random-4x", 2)
    assert 3 < cost.teacher_parameters / cost.student_parameters < 4.5
    ways = {way.name: way for way in cost.ways}
    assert list(ways) == ["lockstep", "k=2", "k=5", "adaptive", "teacher alone"]
    for way in ways.values():
        for found in (way.speed, way.over_lockstep, way.over_teacher):
            assert found.low <= found.value <= found.high
        assert way.speed.value > 0
    assert ways["lockstep"].over_lockstep.value == ways["teacher alone"].over_teacher.value == 1
    assert ways["lockstep"].acceptance is None and ways["lockstep"].tokens_per_teacher_forward == 1
    for name in ("k=2", "k=5"):
        assert 0 < ways[name].acceptance.value < 1
        assert ways[name].tokens_per_teacher_forward > 1
    assert type(result).model_validate_json(result.model_dump_json()) == result


def test_a_dearer_teacher_is_the_same_teacher(duo):
    costly = dearer(duo.teacher, 4)
    assert parameters(costly) > 2 * parameters(duo.teacher)
    drawn = [list(stand.samples(Speculative(stand.models, stand.mixer, 3, False), 12, 0))
             for stand in (stand_of(duo), stand_of(duo, costly))]
    assert drawn[0] == drawn[1]
    assert len({len(tokens) for tokens in drawn[0]}) == 1


def test_a_student_that_is_its_own_teacher_with_its_own_prompt_is_never_refused(duo):
    pairs = [pair.model_copy(update={"teacher_ids": pair.student_ids}) for pair in duo.pairs(4)]
    stand = Stand(duo.student, duo.student, duo.tokenizer, pairs, CONTEXT, duo.vocab)
    told = Statistics()
    stand.run(Speculative(stand.models, stand.mixer, 3, False), 4, told)
    assert told.acceptance is not None and told.acceptance > 0.99


def test_a_run_ends_where_the_context_is_full(duo):
    stand = stand_of(duo, slots=1)
    room = CONTEXT - max(len(stand._pairs[0].student_ids), len(stand._pairs[0].teacher_ids))
    assert stand.run(Lockstep(stand.models, stand.mixer), 10 * CONTEXT) == room


def test_the_work_is_known_by_what_it_measures():
    same = SMALL.model_copy(update={"title": "Another title"})
    assert plan(same)[0].key == plan(SMALL)[0].key
    for change in ({"seed": 1}, {"turns": 4}, {"drafts": (2,)}):
        assert plan(SMALL.model_copy(update=change))[0].key != plan(SMALL)[0].key


@pytest.mark.parametrize("wrong", [{"drafts": ()}, {"drafts": (0,)}, {"samples": 100}, {"length": 40}, {"turns": 1},
                                   {"hidden": 33}, {"pairs": ({"name": "x", "models": "huge", "times": 1},)}])
def test_settings_without_sense_are_refused(wrong):
    with pytest.raises(ValueError):
        SpeculationStudy.model_validate({"name": "x", **wrong})


def test_the_section_tells_every_way_and_says_where_exactness_is_not_shown(result):
    section = SpeculationSection("speculation", "Speculation", result)
    part = section.render()
    assert part == section.render()
    (drawing,) = part.drawings
    ElementTree.fromstring(drawing.svg)
    assert "figures/speculation-speed.svg" in part.markdown
    for cost in result.costs:
        for way in cost.ways:
            assert way.speed.told(0) in part.markdown
    assert "Nothing speaks against exactness" in part.markdown
    wrong = SpeculationSection("speculation", "", result.model_copy(update={"p_wrong": 0.5})).render()
    assert "Exactness is not shown" in wrong.markdown
