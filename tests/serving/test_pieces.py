"""The law of streaming: pieces and rest joined are the completion, and nothing that is cut away was ever shown."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from qstar_core.engine.stops import StopStrings
from qstar_core.engine.tokenizer import ChatTokenizer
from qstar_core.serving.pieces import Pieces
from qstar_core.tiny.build import build_pair
from tests.engine.models import pair_of_prompts

PAIR = pair_of_prompts("p", (1,), (2,))


class Letters:
    """A tokenizer whose ids are letters."""

    control_tokens: frozenset[str] = frozenset()
    control_ids: frozenset[int] = frozenset()
    vocabulary: dict[str, int] = {}  # noqa: RUF012

    def read(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


@given(st.text("ab \n", max_size=30), st.lists(st.text("ab \n", min_size=1, max_size=4), max_size=3))
def test_joined_they_are_the_completion(text: str, stop: list[str]) -> None:
    letters = Letters()
    watch = StopStrings(tuple(stop), letters).watch()  # type: ignore[arg-type]
    pieces = Pieces(letters, frozenset(), stop, PAIR)  # type: ignore[arg-type]
    shown: list[str] = []
    completion = text.strip()
    for letter in map(ord, text):
        if watch is not None and watch.read(letter):
            assert watch.text is not None
            completion = watch.text
            break
        shown.append(pieces.push(letter))
        assert completion.startswith("".join(shown)) or watch is not None
    assert "".join(shown) + pieces.rest(completion) == completion


def test_with_a_real_tokenizer_and_a_beginning_of_the_reply(model_cache: Path) -> None:
    tokenizer = ChatTokenizer("tiny", build_pair(model_cache).student)
    ids = list(tokenizer.encode("a) 24 - 2 = 22 ; answer 24"))
    for prefix in ("", "a)"):
        begun = ids[: 1 if prefix else 0]
        pair = PAIR.model_copy(update={"reply_prefix": prefix, "student_ids": tuple(begun)})
        pieces = Pieces(tokenizer, tokenizer.control_ids, (), pair)
        own = ids[len(begun):]
        whole = tokenizer.decode_after(tuple(begun), own) if prefix else tokenizer.decode(own)
        shown = "".join(pieces.push(token) for token in own)
        assert shown + pieces.rest(whole) == whole and len(shown) > 10


