"""What fits from several starts return."""

import equinox as eqx
import numpy as np

from ._fields import total_weight
from ._result import FitResult
from ._search import RESULTS
from ._table import number

# Optima whose estimates are shown side by side.
_MOST_SHOWN = 5


class MultistartResult(eqx.Module):
    """Fits of one model from several starts. `print` shows a table.

    Attributes
    ----------
    fits : tuple of FitResult
        In the order of the starts, those included that did not succeed.

    Examples
    --------
    The model and the data are those of the example of `fit`.

    >>> several = spmlex.fit_multistart(
    ...     [Logit(jnp.array(start)) for start in (0.0, 2.0)], data, supp
    ... )
    >>> bool(np.ptp(several.logliks) < 1e-6)
    True
    """

    fits: tuple[FitResult, ...]

    @property
    def best(self) -> FitResult:
        """The successful fit of the highest log-likelihood; if none succeeded, the highest of all.

        A search that did not end at a stationary point is no estimate, however high it got.
        """
        return max(self.fits, key=_rank)

    @property
    def num_successful(self) -> int:
        """Number of starts that ended at a stationary point."""
        return sum(bool(fit.result == RESULTS.successful) for fit in self.fits)

    @property
    def num_reached(self) -> int:
        """Number of starts that ended at the best fit, or at one as good.

        As good means a mean log-likelihood that differs by √eps at most, relative to its size: the
        precision at which two fits can be told apart.
        """
        return sum(
            bool(fit.result == RESULTS.successful) and self._tied(fit, self.best)
            for fit in self.fits
        )

    @property
    def logliks(self) -> np.ndarray:
        """Log-likelihood where each start ended."""
        return np.array([fit.loglik for fit in self.fits])

    def _tied(self, one: FitResult, other: FitResult) -> bool:
        tol = float(np.finfo(other.probs.dtype).eps) ** 0.5
        return abs(one.loglik - other.loglik) <= tol * max(total_weight(other), abs(other.loglik))

    def __str__(self) -> str:
        optima: list[tuple[FitResult, int]] = []
        for fit in sorted(self.fits, key=_rank, reverse=True):
            if fit.result != RESULTS.successful:
                continue
            if optima and self._tied(fit, optima[-1][0]):
                optima[-1] = (optima[-1][0], optima[-1][1] + 1)
            else:
                optima.append((fit, 1))
        rule, thin = "=" * 58, "-" * 58
        lines = [f"Fits from {len(self.fits)} starts".center(58).rstrip(), rule]
        lines += [f"{'log-likelihood':>20}{'gradient norm':>18}{'starts':>20}", thin]
        lines += [f"{fit.loglik:>20.6f}{fit.grad_norm:>18.1e}{n:>20}" for fit, n in optima]
        failed = len(self.fits) - self.num_successful
        if failed:
            lines += [f"{'no estimate':>20}{'':>18}{failed:>20}"]
        lines += [rule, *self._side_by_side([fit for fit, _ in optima]), "", str(self.best)]
        return "\n".join(lines)

    def _side_by_side(self, optima: list[FitResult]) -> list[str]:
        """The estimates of different optima, the best first, named by a start that ended there."""
        if len(optima) < 2:
            return []
        shown = optima[:_MOST_SHOWN]
        starts = [next(k for k, fit in enumerate(self.fits) if fit is one) for one in shown]
        names = shown[0].param_names
        width = max(map(len, names)) + 2
        lines = [" " * width + "".join(f"{f'start {k}':>14}" for k in starts)]
        for name, *row in zip(names, *(fit.estimates for fit in shown), strict=True):
            lines.append(f"{name:<{width}}" + "".join(f"{number(x):>14}" for x in row))
        rest = len(optima) - len(shown)
        return [*lines, *([f"and {rest} more, in `fits`"] if rest else [])]


def _rank(fit: FitResult) -> tuple[bool, float]:
    """Order of fits: success first, then the log-likelihood, NaN last."""
    loglik = fit.loglik if np.isfinite(fit.loglik) else -np.inf
    return bool(fit.result == RESULTS.successful), loglik
