"""Draws of one prompt, made by hypothesis: right, wrong and answerless ones, kept and dropped."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from qstar_core.selection.draws import Draw

GOLD = "12"
_numbers = st.one_of(st.none(), st.floats(-5, 0, allow_nan=False))


def draw_of(position: int, text: str, **values: Any) -> Draw:
    given = {"kept": True, "answer": GOLD, "prompt": ({"role": "user", "content": "how many ?"},)} | values
    return Draw(sample_id=f"s{position}", prompt_id="p", position=position, completion=text, **given)


@st.composite
def draws(draw: st.DrawFn, measured: bool = False) -> list[Draw]:
    """At most eight draws; `measured`: every one has its numbers."""
    number = st.floats(-5, 0, allow_nan=False) if measured else _numbers
    texts = st.sampled_from(["answer 12", "so answer 12", "answer  12", "answer 13", "13", "no idea", "", "12 13"])
    return [draw_of(i, draw(texts), kept=draw(st.booleans()), score=draw(number), logq=draw(number),
                    logp_t=draw(number), alpha=draw(st.sampled_from([0.0, 0.5, 1.0, None])))
            for i in range(draw(st.integers(0, 8)))]
