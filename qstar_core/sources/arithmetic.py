"""Small sums told as English stories, for language models that know English: `builtin:arithmetic`."""

from __future__ import annotations

import random
from collections.abc import Iterator

from qstar_core.records import Message, Prompt, Role

_NAMES = ("Mia", "Omar", "Lena", "Ravi", "Nora", "Hugo", "Aiko", "Ines")
_THINGS = ("apples", "marbles", "stickers", "books", "shells", "coins", "pencils", "stamps")
_MORE = ("buys {} more", "finds {} more", "is given {} more")
_LESS = ("gives away {}", "loses {}", "sells {}")


def arithmetic(seed: int, count: int) -> Iterator[Prompt]:
    """`count` different problems, a pure function of the seed."""
    rng = random.Random(f"arithmetic {seed}")
    seen: set[str] = set()
    while len(seen) < count:
        prompt = _problem(rng)
        if prompt.id not in seen:
            seen.add(prompt.id)
            yield prompt


def _problem(rng: random.Random) -> Prompt:
    name, things = rng.choice(_NAMES), rng.choice(_THINGS)
    total = rng.randint(3, 20)
    events, worked = [], [str(total)]
    for _ in range(rng.randint(1, 2)):
        amount = rng.randint(1, 10)
        grows = amount >= total or rng.random() < 0.5
        total = total + amount if grows else total - amount
        events.append(rng.choice(_MORE if grows else _LESS).format(amount))
        worked.append(f"{'+' if grows else '-'} {amount}")
    start = worked[0]
    story = f"{name} has {start} {things}. {name} {', then '.join(events)}. How many {things} does {name} have now?"
    return Prompt.of((Message(role=Role.USER, content=story),), answer=str(total), kind="arithmetic",
                     solution=f"{' '.join(worked)} = {total}", source="builtin:arithmetic", meta={"steps": len(events)})
