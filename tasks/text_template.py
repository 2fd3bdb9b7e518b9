"""Templates: literals, which are pinned, and holes, as a :class:`~solver.tasks.text.Text`.

>>> problem = text_from_template(["a", Hole(2), "b"], spell=lambda text, is_first: [*map(ord, text)])
>>> problem.pinned.tolist(), problem.literals
([True, False, False, True], ('a', 'b'))
"""

from collections.abc import Callable, Sequence

import numpy as np

from solver.tasks.errors import InvalidArgument
from solver.tasks.text import Hole, Text, share_room

Spell = Callable[[str, bool], list[int]]


def text_from_template(template: Sequence[str | Hole], spell: Spell, length: int | None = None) -> Text:
    """A template as a problem without a prompt: literals are pinned, holes are open.

    Args:
        template: literals and holes. Adjacent literals are one.
        spell: the tokens of a text, at the start of the answer (True) or later (False).
        length: tokens in all, shared by holes without a size. None allows no such hole.

    Raises:
        InvalidArgument: the start of a hole is longer than the hole, or there is no room; ``spell`` raises it
            for a text without tokens.
    """
    parts = merged([part for part in template if part])
    texts = [part.start or "" if isinstance(part, Hole) else part for part in parts]
    spelled = [spell(text, number == 0) if text else [] for number, text in enumerate(texts)]
    literal = sum(len(ids) for part, ids in zip(parts, spelled, strict=True) if isinstance(part, str))
    hole_sizes = [part.size for part in parts if isinstance(part, Hole)]
    sizes = iter(share_room(hole_sizes, (length or 0) - literal))
    tokens, pinned, known = list[int](), list[bool](), list[bool]()
    placed, literals = list[tuple[int, int]](), [""]
    for part, text, ids in zip(parts, texts, spelled, strict=True):
        size = next(sizes) if isinstance(part, Hole) else len(ids)
        if len(ids) > size:
            raise InvalidArgument(f"the start {text!r} has {len(ids)} tokens, its hole {size}")
        if isinstance(part, Hole):
            placed.append((len(tokens), size))
            literals.append("")
        else:
            literals[-1] = part
        tokens += ids + [0] * (size - len(ids))
        known += [True] * len(ids) + [False] * (size - len(ids))
        pinned += [isinstance(part, str)] * size
    return Text(
        np.zeros(0, np.int64),
        np.array(tokens, np.int64),
        np.array(pinned, bool),
        np.array(known, bool),
        holes=tuple(placed),
        literals=tuple(literals),
    )


def merged(parts: Sequence[str | Hole]) -> list[str | Hole]:
    """The parts with each run of literals as one literal."""
    result: list[str | Hole] = []
    for part in parts:
        if isinstance(part, str) and result and isinstance(result[-1], str):
            result[-1] += part
        else:
            result.append(part)
    return result
