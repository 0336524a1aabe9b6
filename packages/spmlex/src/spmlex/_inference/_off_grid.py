"""A fit at points that are not of its grid: the gradient function, and masses that move there."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from mixsqpx import RESULTS as MIX_RESULTS
from mixsqpx import mixsolve

from .._fields import Fit, problem_of, total_weight, unit_weights
from .._model import from_coordinates, leading_length, log_lik_of, replace_units, take
from .._search import Problem

# Points looked at together, and entries of a matrix of them.
_BLOCK, _MOST_ENTRIES = 256, 2**24
# Points that masses are offered, those of the highest gradient function.
_MOST_OFFERED = 64


class OffGrid:
    """What a fit says of other points, at its parameters.

    Only points with mass count in the mixture, so that everything takes few evaluations of `lclk`,
    in blocks of one shape: one program is compiled.
    """

    def __init__(self, result: Fit):
        self.result, self.problem = result, problem_of(result)
        self.weights = unit_weights(result)
        groups = self.problem.groups
        num = result.n_obs
        self.labels = np.zeros(num, int) if groups is None else np.asarray(groups.labels(num))
        self.shares = np.bincount(self.labels, self.weights) / self.weights.sum()
        probs = np.asarray(result.probs, float).reshape(result.probs.shape[0], -1)
        self.active = np.flatnonzero(np.any(probs > 0, axis=1))
        self.masses = probs[self.active]
        most = max(1, _MOST_ENTRIES // num)
        self.block = min(result.probs.shape[0], _BLOCK, most)
        self.at_active = self._log_lik(take(self.problem.supp, jnp.asarray(self.active)))
        own = self.masses.T[self.labels]
        top = np.where(own > 0, self.at_active, -np.inf).max(axis=1)
        terms = own * np.exp(np.minimum(self.at_active - top[:, None], 0.0))
        self.log_mix = top + np.log(terms.sum(axis=1))

    def log_lik(self, points: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "n k"]:
        """At points given by their coordinates; -inf at those where the model is not defined."""
        dtype = self.result.probs.dtype
        found = self._log_lik(from_coordinates(self.problem.supp, points, dtype))
        defined = (found[self.weights > 0] < np.inf).all(axis=0)
        return np.where(defined[None, :], found, -np.inf)

    def gradients(self, points: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "g k"]:
        """Log Σᵢ ωᵢ aᵢⱼ/uᵢ of each group: what a mass at a point could add to its mean, at most."""
        order = np.argsort(self.labels, kind="stable")
        first = np.searchsorted(self.labels[order], np.arange(self.shares.size))
        omega = self.weights / (self.shares * self.weights.sum())[self.labels]
        parts = [np.empty((self.shares.size, 0))]
        for start in range(0, len(points), self.block):
            log_ratio = self.log_lik(points[start : start + self.block]) - self.log_mix[:, None]
            log_ratio[self.weights == 0] = -np.inf
            # Ratios may overflow, on a grid that is far too coarse.
            shift = np.maximum(log_ratio.max(axis=0), 0.0)
            ratio = omega[:, None] * np.exp(log_ratio - shift)
            sums = np.add.reduceat(ratio[order], first, axis=0)
            with np.errstate(divide="ignore"):
                parts.append(np.log(sums) + shift)
        return np.concatenate(parts, axis=1)

    def bound(self, gradients: Float[np.ndarray, "g k"]) -> float:
        """What masses at points of these gradients could add to the mean of all units, at most."""
        return float(self.shares @ gradients.max(axis=1, initial=0.0))

    def most(self, points: Float[np.ndarray, "k d"]) -> float:
        """What it would be if each unit had the distribution to itself: it cannot be more."""
        supp = self.problem.supp
        best = self._log_lik(supp).max(axis=1)
        for start in range(0, len(points), self.block):
            best = np.maximum(best, self.log_lik(points[start : start + self.block]).max(axis=1))
        counts = self.weights > 0
        return float(self.weights[counts] @ (best - self.log_mix)[counts] / self.weights.sum())

    def gain(self, points: Float[np.ndarray, "k d"], gradients: Float[np.ndarray, "g k"]) -> float:
        """What a distribution on the active points and on these adds to the log-likelihood."""
        best = np.argsort(-gradients.max(axis=0), kind="stable")[:_MOST_OFFERED]
        best = best[np.isfinite(gradients[:, best]).any(axis=0)]
        log_ratio = np.concatenate([self.at_active, self.log_lik(points[best])], axis=1)
        log_ratio -= self.log_mix[:, None]
        total = 0.0
        for g in range(self.shares.size):
            own = (self.labels == g) & (self.weights > 0)
            rows = log_ratio[own]
            top = rows.max(axis=1)
            found = mixsolve(
                (rows - top[:, None]).astype(self.result.probs.dtype),
                self.weights[own].astype(self.result.probs.dtype),
                throw=False,
            )
            if found.result == MIX_RESULTS.successful:
                mean = self.weights[own] @ top / self.weights[own].sum() - float(found.objective)
                total += self.shares[g] * mean
        return total_weight(self.result) * total

    def moved(
        self, which: Int[np.ndarray, " e"], far: Float[np.ndarray, "e d"]
    ) -> tuple[Float[np.ndarray, " e"], Float[np.ndarray, " e"]]:
        """Masses of some active points, and the change of the log-likelihood with each elsewhere.

        Parameters
        ----------
        which : Int[np.ndarray, "e"]
            Numbers among the active points.
        far : Float[np.ndarray, "e d"]
            Where the mass of each would be.
        """
        own = self.masses[which].T[self.labels]
        before = self.at_active[:, which] - self.log_mix[:, None]
        after = self.log_lik(far) - self.log_mix[:, None]
        counts = self.weights > 0
        with np.errstate(divide="ignore", over="ignore"):
            log_own = np.log(own)
            # What is left without the mass may be nothing, up to rounding.
            left = np.maximum(-np.expm1(np.minimum(log_own + before, 0.0)), 0.0)
            change = np.log(left + np.exp(log_own + after))
        return self.weights @ own / self.weights.sum(), self.weights[counts] @ change[counts]

    def _log_lik(self, supp: PyTree) -> Float[np.ndarray, "n k"]:
        """In blocks, the last one filled up with its first point."""
        num = leading_length(supp, "supp")
        parts = []
        for start in range(0, num, self.block):
            numbers = np.arange(start, start + self.block)
            numbers = np.where(numbers < num, numbers, start)
            found = _evaluate(self.problem, self.result.params, take(supp, jnp.asarray(numbers)))
            parts.append(np.asarray(found, float)[:, : num - start])
        return np.concatenate(parts, axis=1)


@eqx.filter_jit
def _evaluate(problem: Problem, params: PyTree, supp: PyTree) -> Float[Array, "n k"]:
    """Log-likelihoods; units without weight have the data of another."""
    data = problem.data
    if problem.weights is not None:
        data = replace_units(data, problem.weights > 0)
    return log_lik_of(eqx.combine(params, problem.held), data, supp)
