"""Compiled programs, of which a process keeps no more than it has room for."""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import jax
from jax.core import Tracer

# Each program takes some 200 of the memory mappings that Linux allows a process, 65 530 by default:
# where there are as many as this, all are dropped, and those that come up again compiled again.
_MOST_PROGRAMS = 128

_kept: dict[Hashable, Any] = {}


class BeingTraced(Exception):
    """A program was called inside of a function that is being traced: there are no numbers yet."""


class Programs:
    """A function compiled for many shapes and options: `key` tells one program from another.

    It returns a tuple of which the last is an array.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, key: Hashable, *args: Any, **options: Any) -> Any:
        """Call the function. Options are constants of a program, and belong into its key."""
        program = _kept.get((self, key))
        if program is None:
            if len(_kept) >= _MOST_PROGRAMS:
                for each in _kept.values():
                    each.clear_cache()
                _kept.clear()
            # Not static arguments: these are hashed and compared with every call.
            program = _kept[self, key] = jax.jit(partial(self._function, **options))
        out = program(*args)
        if isinstance(out[-1], Tracer):
            raise BeingTraced
        return out
