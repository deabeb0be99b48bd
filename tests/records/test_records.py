"""Records are values: hashed by content, frozen, strict, and the same after JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from qstar_core.records import (
    FinishReason,
    GateCheck,
    GateReport,
    GateVerdict,
    Message,
    MixSummary,
    Prompt,
    Role,
    Sample,
    content_hash,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4), max_leaves=12,
)
TURNS = st.lists(st.builds(Message, role=st.sampled_from(Role), content=st.text(max_size=20)), max_size=4).map(tuple)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(list(value))}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


@given(JSON)
def test_the_hash_does_not_know_the_order_of_keys(value: Any) -> None:
    assert content_hash(value) == content_hash(reordered(value)) == content_hash(json.loads(json.dumps(value)))


@given(JSON, JSON)
def test_different_values_have_different_hashes(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (content_hash(one) == content_hash(other)) == same


def test_the_hash_is_the_one_that_older_data_carries() -> None:
    assert content_hash({"b": [1, "ü"], "a": None}) == content_hash(json.loads('{"a":null,"b":[1,"\\u00fc"]}'))
    assert content_hash([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")]])
def test_numbers_that_are_none_have_no_hash(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        content_hash(value)


@given(turns=TURNS, answer=st.none() | st.text(max_size=5), other=st.text(max_size=5))
def test_a_prompts_id_is_its_question_and_answer(turns: tuple[Message, ...], answer: str | None, other: str) -> None:
    one = Prompt.of(turns, answer=answer, solution=other, kind=other, source="a", meta={"x": other})
    two = Prompt.of(turns, answer=answer)
    assert one.id == two.id and len(one.id) == 16
    assert (Prompt.of(turns, answer=other).id == one.id) == (other == answer)
    longer = (*turns, Message(role=Role.USER, content=other))
    assert Prompt.of(longer, answer=answer).id != one.id


@given(turns=TURNS, meta=st.dictionaries(st.text(max_size=4), JSON, max_size=3))
def test_prompts_survive_json(turns: tuple[Message, ...], meta: dict[str, Any]) -> None:
    prompt = Prompt.of(turns, answer="1", meta=meta)
    assert Prompt.model_validate_json(prompt.model_dump_json()) == prompt


def test_the_question_is_the_last_user_message() -> None:
    turns = [("system", "s"), ("user", "one"), ("assistant", "a"), ("user", "two"), ("assistant", "b")]
    assert Prompt.of(tuple(Message(role=Role(r), content=c) for r, c in turns)).question == "two"
    assert Prompt.of(()).question == ""


def summary(**changes: Any) -> MixSummary:
    values: dict[str, Any] = {name: 1.0 if field.annotation is not int else 1
                              for name, field in MixSummary.model_fields.items()}
    return MixSummary(**(values | changes))


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20), st.none() | st.floats(0, 1))
def test_samples_survive_json(value: float, text: str, ratio: float | None) -> None:
    sample = Sample(id="a", prompt_id="b", draw=0, completion=text, token_ids=(1, 2), finish_reason=FinishReason.STOP,
                    seed=1, max_tokens=3, summary=summary(alpha_mean=value, ess_ratio_mean=ratio))
    assert Sample.model_validate_json(sample.model_dump_json()) == sample


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_nan_and_infinity_are_refused(bad: float) -> None:
    with pytest.raises(ValidationError):
        summary(alpha_mean=bad)
    with pytest.raises(ValidationError):
        GateCheck(name="x", verdict=GateVerdict.PASS, value=bad)
    for token in ("NaN", "Infinity", "-Infinity"):
        with pytest.raises(ValidationError):
            GateCheck.model_validate_json(f'{{"name":"x","verdict":"pass","value":{token}}}')


def test_records_are_frozen_and_refuse_unknown_fields() -> None:
    message = Message(role=Role.USER, content="a")
    with pytest.raises(ValidationError):
        message.content = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Message(role=Role.USER, content="a", name="x")  # type: ignore[call-arg]


@pytest.mark.parametrize(("low", "high", "told"), [
    (None, None, "anything"), (0.5, None, "at least 0.5"), (None, 2, "at most 2"), (0.8, 1.2, "0.8 to 1.2"),
])
def test_a_check_tells_its_limits(low: float | None, high: float | None, told: str) -> None:
    assert GateCheck(name="x", verdict=GateVerdict.PASS, value=1, low=low, high=high).allowed == told


@given(st.lists(st.sampled_from(GateVerdict), max_size=5))
def test_a_report_is_as_bad_as_its_worst_check(verdicts: list[GateVerdict]) -> None:
    report = GateReport(checks=tuple(GateCheck(name=str(i), verdict=v, value=None) for i, v in enumerate(verdicts)))
    order = [GateVerdict.NOT_APPLICABLE, GateVerdict.PASS, GateVerdict.WARN, GateVerdict.FAIL]
    worst = max((order.index(v) for v in verdicts), default=0)
    assert report.verdict is order[max(worst, 1)]
    assert len(report.failed()) == verdicts.count(GateVerdict.FAIL)
