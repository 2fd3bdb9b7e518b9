"""Time limits that long computations check in their loops, however deep below the caller they run.

>>> with time_limit(0.0):
...     check_time()
Traceback (most recent call last):
    ...
solver.kernels.deadline.OutOfTime: the time limit has passed

Limits belong to the current thread and may be nested; the earliest one counts.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import count

UNLIMITED = float("inf")
CPU_EVERY = 16
_WALL_END: ContextVar[float] = ContextVar("wall_end", default=UNLIMITED)  # of time.perf_counter
_CPU_END: ContextVar[float] = ContextVar("cpu_end", default=UNLIMITED)  # of time.thread_time
_calls = count()


class OutOfTime(Exception):  # noqa: N818  # like StopIteration, it ends a computation that is not wrong
    """The time limit has passed."""

    def __init__(self) -> None:
        super().__init__("the time limit has passed")


@contextmanager
def time_limit(seconds: float | None = None, cpu_seconds: float | None = None) -> Iterator[None]:
    """Limit what runs in the ``with`` block.

    Args:
        seconds: wall clock; None sets no limit of its own.
        cpu_seconds: CPU time of this thread, which other processes do not shorten; None as above.
    """
    wall_end = UNLIMITED if seconds is None else time.perf_counter() + seconds
    cpu_end = UNLIMITED if cpu_seconds is None else time.thread_time() + cpu_seconds
    wall, cpu = _WALL_END.set(min(wall_end, _WALL_END.get())), _CPU_END.set(min(cpu_end, _CPU_END.get()))
    try:
        yield
    finally:
        _WALL_END.reset(wall)
        _CPU_END.reset(cpu)


def check_time() -> None:
    """Raise OutOfTime if a limit has passed. CPU time is read at every CPU_EVERY-th call only, as it is slow."""
    if time.perf_counter() >= _WALL_END.get():
        raise OutOfTime
    if next(_calls) % CPU_EVERY == 0 and time.thread_time() >= _CPU_END.get():
        raise OutOfTime


def time_left() -> float:
    """Seconds of wall clock until the limit; infinite without one."""
    return _WALL_END.get() - time.perf_counter()
