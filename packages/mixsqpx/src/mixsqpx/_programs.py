"""Compiled programs, of which a process keeps no more than it has room for."""

from collections.abc import Callable, Hashable
from typing import Any

import jax

# Each program takes some 200 of the memory mappings that Linux allows a process, 65 530 by default:
# where there are as many as this, all are dropped, and those that come up again compiled again.
_MOST_PROGRAMS = 128

_known: set[Hashable] = set()
_all: list["Programs"] = []


class Programs:
    """A function compiled for many shapes and options: `key` tells one program from another."""

    def __init__(self, function: Callable[..., Any], static: tuple[str, ...] = ()) -> None:
        self._jitted: Any = jax.jit(function, static_argnames=static)
        _all.append(self)

    def __call__(self, key: Hashable, *args: Any, **options: Any) -> Any:
        """Call the function."""
        if (self, key) not in _known:
            if len(_known) >= _MOST_PROGRAMS:
                _known.clear()
                for each in _all:
                    each._jitted.clear_cache()
            _known.add((self, key))
        return self._jitted(*args, **options)
