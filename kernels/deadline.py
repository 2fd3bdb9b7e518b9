"""A time limit that long computations check in their loops, however deep below the caller they run.

>>> with time_limit(0.0):
...     check_time()
Traceback (most recent call last):
    ...
solver.kernels.deadline.OutOfTime: the time limit has passed

The limit belongs to the current thread. Limits may be nested; the earliest one counts.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_DEADLINE: ContextVar[float] = ContextVar("deadline", default=float("inf"))  # of time.perf_counter


class OutOfTime(Exception):  # noqa: N818  # like StopIteration, it ends a computation that is not wrong
    """The time limit has passed."""

    def __init__(self) -> None:
        super().__init__("the time limit has passed")


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Limit what runs in the ``with`` block. None sets no limit of its own."""
    deadline = float("inf") if seconds is None else time.perf_counter() + seconds
    token = _DEADLINE.set(min(deadline, _DEADLINE.get()))
    try:
        yield
    finally:
        _DEADLINE.reset(token)


def check_time() -> None:
    """Raise OutOfTime if the limit has passed."""
    if time.perf_counter() >= _DEADLINE.get():
        raise OutOfTime


def time_left() -> float:
    """Seconds until the limit; infinite without one."""
    return _DEADLINE.get() - time.perf_counter()
