"""Stories like those of `builtin:problems` whose steps are larger than any there: `builtin:larger-steps`.

The words are the same and so is the form, so a model that was trained on the others can read them; what it needs is
arithmetic that it never practised. No story is one of the others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from qstar_core.records import Message, Prompt, Role
from qstar_core.tiny.problems import GAINS, LARGEST_CHANGE, LIMIT, LOSSES, NAMES, THINGS, Story

_LARGEST = LARGEST_CHANGE + 3
_STEPS = (2, 3)


def larger_steps(seed: int, count: int) -> Iterator[Prompt]:
    """`count` different problems, a pure function of the seed."""
    rng = random.Random(f"larger steps {seed}")
    seen: set[str] = set()
    while len(seen) < count:
        story = _story(rng, _STEPS[len(seen) % len(_STEPS)])
        prompt = Prompt.of(
            (Message(role=Role.USER, content=story.question),), answer=story.answer, solution=story.solution(),
            kind="story", source="builtin:larger-steps",
            meta={"difficulty": len(story.changes), "reference": story.reference})
        if prompt.id not in seen:
            seen.add(prompt.id)
            yield prompt


def _story(rng: random.Random, steps: int) -> Story:
    start = total = rng.randrange(1, LIMIT)
    verbs, changes = [], []
    for _ in range(steps):
        size = rng.randint(LARGEST_CHANGE + 1, _LARGEST)
        gain = total - size < 0 or (total + size < LIMIT and rng.random() < 0.5)
        verbs.append(rng.choice(GAINS if gain else LOSSES))
        changes.append(size if gain else -size)
        total += changes[-1]
    return Story(rng.choice(NAMES), rng.choice(THINGS), start, tuple(verbs), tuple(changes))
