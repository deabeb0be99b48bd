"""Near and semantic duplicates: planted ones are found, others are not, and memory is a vector a text."""

from __future__ import annotations

import random
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qstar_core.config import FilterStep
from qstar_core.filters.base import Candidate
from qstar_core.filters.chain import FilterChain
from qstar_core.filters.semantic_duplicate import _BLOCK, _Vectors
from qstar_core.records import Outcome
from tests.filters.candidates import CONTEXT, EARLIER, candidate

WORDS = [f"w{number}" for number in range(5000)]


def dropped(name: str, samples: list[Candidate], **options: object) -> list[int]:
    with FilterChain([FilterStep(name=name, options=options)], CONTEXT) as chain:
        found = list(chain.judged(lambda: samples, lambda each: each))
    return [i for i, (_, verdict) in enumerate(found) if verdict.outcome is Outcome.DROPPED]


def planted(seed: int, originals: int, changed: int, length: int = 200) -> list[Candidate]:
    """Every original is followed by a copy with so many words replaced."""
    rng = random.Random(seed)
    made = []
    for _ in range(originals):
        text = rng.choices(WORDS, k=length)
        copy = list(text)
        for place in rng.sample(range(length), changed):
            copy[place] = rng.choice(WORDS)
        made += [candidate(" ".join(text), question=f"q{len(made)}"),
                 candidate(" ".join(copy), question=f"q{len(made) + 1}")]
    return made


def test_planted_near_duplicates_are_found_and_others_are_not() -> None:
    """3 words of 200 replaced leave a similarity near .85; 40 leave one near .25."""
    near, far = planted(0, 60, 3), planted(1, 60, 40)
    assert len(set(range(1, 120, 2)) & set(dropped("near_duplicate", near))) >= 57
    assert not [i for i in dropped("near_duplicate", near) if i % 2 == 0]
    assert dropped("near_duplicate", far) == []


@pytest.mark.slow
def test_recall_and_precision_at_large_counts() -> None:
    near, far = planted(2, 2000, 3), planted(3, 2000, 40)
    found = dropped("near_duplicate", near)
    assert len([i for i in found if i % 2]) >= 1900 and not [i for i in found if i % 2 == 0]
    assert dropped("near_duplicate", far) == []


@settings(deadline=None, max_examples=30)
@given(st.lists(st.sampled_from(WORDS[:50]), min_size=1, max_size=40), st.sampled_from([" ", "\n", "  \t"]))
def test_a_text_is_its_own_near_duplicate_however_it_is_spaced(text: list[str], space: str) -> None:
    pair = [candidate(" ".join(text)), candidate(space.join(text).upper())]
    assert dropped("near_duplicate", pair) == [1]


def test_short_texts_are_compared_within_their_prompt_only() -> None:
    short = "the answer is 8"
    same, other = [candidate(short)] * 2, [candidate(short), candidate(short, question="other")]
    assert dropped("near_duplicate", same) == [1] and dropped("near_duplicate", other) == []
    assert dropped("near_duplicate", other, min_words=2) == [1]
    assert dropped("near_duplicate", other, min_words=2, across_prompts=False) == []


def test_the_version_before_counts_where_asked() -> None:
    again = [candidate(EARLIER), candidate("quite another text that says how two numbers are added here")]
    for name, options in (("near_duplicate", {"min_words": 5}), ("semantic_duplicate", {"across_prompts": True})):
        assert dropped(name, again, **options) == []
        assert dropped(name, again, earlier=True, **options) == [0]


def test_what_says_the_same_is_dropped_and_no_sample_is_its_own_twin() -> None:
    """The embedder of these tests counts letters: an anagram says the same."""
    given_ = [candidate("listen to me"), candidate("silent to me"), candidate("another thing"),
              candidate("listen to me", question="other")]
    assert dropped("semantic_duplicate", given_) == [1]
    assert dropped("semantic_duplicate", given_, across_prompts=True) == [1, 3]


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_nearest_vector_is_the_one_of_the_whole_matrix(count: int, seed: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kept = _Vectors()
    assert kept.nearest(rows[0]) is None
    for end, row in enumerate(rows):
        if end:
            assert kept.nearest(row) == pytest.approx(min(1.0, float((rows[:end] @ row).max())), abs=1e-6)
        kept.add(row)


def test_vectors_take_memory_for_themselves_and_no_square_of_it() -> None:
    count, width = _BLOCK + 100, 16
    rows = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    tracemalloc.start()
    kept = _Vectors()
    for row in rows:
        kept.add(row)
    kept.nearest(rows[0])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * rows.nbytes
