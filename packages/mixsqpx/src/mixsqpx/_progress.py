"""Progress of passes over many rows, shown while they run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Progress:
    """Told of every pass and of every block, and shows neither: costs nothing."""

    def begin(self, number: int, num_units: int) -> None:
        """A pass starts, the first being number one."""

    def read(self, num_units: int) -> None:
        """So many units have been read in this pass."""

    def end(self, gap: float) -> None:
        """A pass is over, and the optimality gap where it was made is known."""


class _Bar(Progress):
    """One line on standard error, written over."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def begin(self, number: int, num_units: int) -> None:
        self._bar.reset(num_units)
        self._bar.set_description_str(f"Pass {number}")

    def read(self, num_units: int) -> None:
        self._bar.update(num_units - self._bar.n)

    def end(self, gap: float) -> None:
        self._bar.set_postfix_str(f"gap {gap:.0e}")


@contextmanager
def watch(show: bool) -> Iterator[Progress]:
    """What passes report to: a bar of tqdm if `show`, else nothing.

    Raises
    ------
    ImportError
        If tqdm is wanted and not there.
    """
    if not show:
        yield Progress()
        return
    try:
        from tqdm.auto import tqdm
    except ImportError:
        raise ImportError(
            "`progress=True` needs tqdm, which is not installed: `pip install tqdm`, or leave "
            "`progress` out."
        ) from None
    with tqdm(unit=" rows", unit_scale=True, desc="Pass 1") as bar:
        yield _Bar(bar)
