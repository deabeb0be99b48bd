"""Pairs as ids: a reply is never cut, both replies lose the same of the prompt, and what does not fit says why."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qstar_core.engine.scoring import ConversationTokenizer
from qstar_core.reward.encoding import ALIKE, PAIR_TOO_LONG, TOO_LONG, encode
from qstar_core.tiny.tokenizer import build_tokenizer
from tests.reward.models import pair


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ConversationTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    build_tokenizer().save_pretrained(folder)
    return ConversationTokenizer(folder)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 30), st.integers(1, 20), st.integers(1, 20), st.integers(8, 60))
def test_the_end_of_a_reply_is_never_cut(tokenizer: ConversationTokenizer, asked: int, good: int, bad: int,
                                         limit: int) -> None:
    one = pair(prompt="sort " + "7 " * asked, chosen="answer " + "3 " * good, rejected="answer " + "4 " * bad)
    found = encode([one], tokenizer, limit, shorten=True)
    assert len(found.pairs) + sum(found.dropped.values()) == 1
    if not found.pairs:
        assert found.dropped == {TOO_LONG: 1}
        return
    whole = [tokenizer.ids(one.prompt, text) for text in (one.chosen, one.rejected)]
    cut = {len(ids) - len(kept) for (ids, _), kept in zip(whole, (found.pairs[0].chosen, found.pairs[0].rejected),
                                                          strict=True)}
    assert len(cut) == 1, "both lose the same"
    for (ids, reply), kept in zip(whole, (found.pairs[0].chosen, found.pairs[0].rejected), strict=True):
        assert len(kept) <= limit and list(kept) == ids[-len(kept):] and len(kept) >= reply
    if max(len(ids) for ids, _ in whole) <= limit:
        assert cut == {0}


def test_without_leave_to_shorten_the_pair_is_dropped(tokenizer: ConversationTokenizer) -> None:
    found = encode([pair(), pair(prompt="sort " + "7 " * 40)], tokenizer, 30, shorten=False)
    assert found.sources == (pair(),) and found.dropped == {PAIR_TOO_LONG: 1}


def test_what_the_tokenizer_cannot_tell_apart_is_dropped(tokenizer: ConversationTokenizer) -> None:
    """Different words, both unknown to it."""
    found = encode([pair(chosen="answer lynx", rejected="answer puma")], tokenizer, 30, shorten=True)
    assert not found.pairs and found.dropped == {ALIKE: 1}


def test_a_margin_is_kept(tokenizer: ConversationTokenizer) -> None:
    found = encode([pair(margin=1.5), pair()], tokenizer, 60, shorten=True)
    assert [one.margin for one in found.pairs] == [1.5, 0.0]
