"""How far a command is: assets say what they begin, whoever listens shows it.

Belongs here: the one listener of a process. Does not belong here: how progress is drawn (cli.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("progress_listener", default=None)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Tell `listener` of every step that begins within the body."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def step(name: str) -> None:
    """Say that a step begins."""
    listener = _listener.get()
    if listener is not None:
        listener(name)
