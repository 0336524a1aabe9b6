"""Progress of a long search, shown while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Step(NamedTuple):
    """The iterate after a step of the minimiser: a row of the history."""

    value: float
    grad_norm: float
    step: float
    num_active: int
    gap: float


class Progress:
    """Told of every search and of every step, and shows neither: costs nothing."""

    def begin(self, label: str) -> None:
        """A search starts."""

    def update(self, row: Step) -> None:
        """A step has been made."""


class _Bar(Progress):
    """One line on standard error, written over."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def begin(self, label: str) -> None:
        self._bar.set_description_str(label, refresh=False)
        self._bar.set_postfix_str("" if self._bar.n else "compiling")

    def update(self, row: Step) -> None:
        self._bar.set_postfix_str(
            f"value {row.value:.8f}, gradient {row.grad_norm:.1e}, step {row.step:.1e}, "
            f"active {row.num_active}, gap {row.gap:.0e}",
            refresh=False,
        )
        self._bar.update()


@contextmanager
def watch(show: bool) -> Iterator[Progress]:
    """What a search reports to: a bar of tqdm if `show`, else nothing.

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
            "`progress` out. What it would show is on the result in any case, as `history`."
        ) from None
    # The delay keeps tqdm from showing a line before it has been told what for.
    with tqdm(bar_format="{desc}: {n} steps, {elapsed}{postfix}", delay=1e-6) as bar:
        yield _Bar(bar)
