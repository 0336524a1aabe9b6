"""What a solve returns, and the ways in which it can end."""

import equinox as eqx
import jax
import jax.core
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, PyTree


class RESULTS(lx.RESULTS):  # pyright: ignore[reportGeneralTypeIssues]
    """How a solve ended; `RESULTS[solution.result]` is the message.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> faulty = mixsqpx.mixsolve(-jnp.eye(3), jnp.zeros(3), throw=False)
    >>> bool(faulty.result == mixsqpx.RESULTS.zero_weights)
    True
    >>> print(mixsqpx.RESULTS[faulty.result])
    `weights` are all zero; at least one must be positive.
    """

    successful = ""
    mix_max_steps_reached = (
        "The step limit was reached before the optimality gap fell to `gap_tol`. Raise "
        "`max_steps`, or loosen `gap_tol` of the solver."
    )
    max_passes_reached = (
        "The limit on passes over the rows was reached before the optimality gap fell to "
        "`gap_tol`. Raise `max_passes`, or loosen `gap_tol` of the solver."
    )
    precision_exhausted = (
        "No further progress is possible in this precision, and the optimality gap is still above "
        "`gap_tol`. Use float64, or loosen `gap_tol` of the solver; a start of EM may hold no zero."
    )
    nonfinite = (
        "The solver met a value that is not finite. Rescale `weights`, or use float64; a start of "
        "EM has to explain every unit."
    )
    invalid_log_lik = (
        "`log_lik` holds NaN or +inf. Log-likelihoods must be finite, or -inf for a likelihood of "
        "zero. A missing value, or a standard error of zero, makes them NaN."
    )
    zero_likelihood = (
        "A unit has zero likelihood (-inf in `log_lik`) at every component, so no mixture can "
        "explain it. Widen the grid of components, or give the unit a weight of zero."
    )
    invalid_weights = "`weights` holds a negative or non-finite value."
    zero_weights = "`weights` are all zero; at least one must be positive."
    infeasible_init = (
        "`init` is not a vector of proportions: its entries must be finite, not negative, and sum "
        "to one. Divide it by its sum; the weights of units are `weights`."
    )


class MixSolution(eqx.Module):
    """Solution of a mixture-proportions problem, with its certificate.

    Attributes
    ----------
    probs : Float[Array, "m"]
        Mixture proportions p. They sum to one; components outside the mixture are exactly zero.
        Differentiable in `log_lik` and `weights`.
    objective : Float[Array, ""]
        f(p) = -Σᵢ ωᵢ log Σⱼ pⱼ exp ℓᵢⱼ, in nats per unit weight. Differentiable. The weights sum to
        one: the log-likelihood of n units without weights is -n times this.
    gap : Float[Array, ""]
        Optimality gap log maxⱼ Σᵢ ωᵢ aᵢⱼ/uᵢ over all m components: f(p) is above the minimum by at
        most this. A diagnostic, without derivative.
    gradient : Float[Array, "m"]
        gⱼ = 1 - Σᵢ ωᵢ aᵢⱼ/uᵢ, Lindsay's gradient function with its sign changed, per unit weight:
        up to `gap`, zero where pⱼ > 0 and not negative elsewhere. A diagnostic, without derivative.
    result : RESULTS
        Successful if and only if `gap` is at most the solver's `gap_tol`.
    stats : dict
        `num_units`, n; `num_steps`, steps of the solver; `num_active`, components in the mixture;
        `unit`, index of the unit that `result` blames, or -1. Of `mixsolve_blocks` also
        `num_passes`, over the rows.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> log_lik = jnp.log(jnp.array([[1.0, 0.4], [0.2, 1.0], [1.0, 0.5]]))
    >>> solution = mixsqpx.mixsolve(log_lik)
    >>> print(
    ...     f"{solution.probs[0]:.3f} {solution.probs[1]:.3f}, objective {solution.objective:.4f}"
    ... )
    0.562 0.438, objective 0.3831
    >>> int(solution.stats["num_active"])
    2
    """

    probs: Float[Array, " m"]
    objective: Float[Array, ""]
    gap: Float[Array, ""]
    gradient: Float[Array, " m"]
    result: RESULTS
    stats: dict[str, PyTree[Array]]

    def __str__(self) -> str:
        if isinstance(self.probs, jax.core.Tracer):
            return repr(self)
        if self.probs.ndim != 1:
            return _of_batch(self)
        ending = (
            "converged" if self.result == RESULTS.successful else f"FAILED: {RESULTS[self.result]}"
        )
        passes = f"{self.stats['num_passes']} passes, " if "num_passes" in self.stats else ""
        return (
            f"Mixture of {self.stats['num_active']} of {self.probs.size} components for "
            f"{self.stats['num_units']} units, "
            f"objective {self.objective:.10g}, optimality gap {self.gap:.1e}, "
            f"{self.stats['num_steps']} steps, {passes}{self.probs.dtype}, {ending}"
        )


def _of_batch(batch: MixSolution) -> str:
    """What is to be said of many solutions: the worst, and the first that failed."""
    converged = np.asarray(batch.result == RESULTS.successful)
    gap = np.max(np.asarray(batch.gap)[converged], initial=0.0)
    text = (
        f"Batch of {converged.size} mixtures of {batch.probs.shape[-1]} components for "
        f"{np.max(batch.stats['num_units'])} units each, "
        f"{converged.sum()} converged, to an optimality gap of at most {gap:.1e}, "
        f"at most {np.max(batch.stats['num_steps'])} steps, {batch.probs.dtype}"
    )
    if converged.all():
        return text
    first = tuple(int(k[0]) for k in np.nonzero(~converged))
    message = RESULTS[jax.tree.map(lambda code: code[first], batch.result)]
    return f"{text}. FAILED, member {', '.join(map(str, first))} the first: {message}"
