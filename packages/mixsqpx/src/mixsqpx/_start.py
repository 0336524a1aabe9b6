"""Where mixSQP starts: subsamples of the rows, and a point for the coarsest of them."""

from collections.abc import Callable
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from ._problem import MixProblem
from ._product import product

# Each coarser level has every 16th row of the next, down to about a thousand rows: there its
# optimum is a good start, and a solve costs little beside one pass over the finer level.
COARSENING = 16
_COARSEST = 1000
# The optimum of a sample of s rows leaves a gap of the order of (active components)/s on the whole.
COARSE_GAP, COARSE_STEPS = 1e-3, 50
# Components of the first iterate, and how much worse than more of them they may be, in nats.
_NUM_START = 8
_START_LOSS = 0.3
# From there EM finds the bulk of the mass in fewer passes than quadratic programs would, and for
# that a sample of some rows is as good as all.
_EM_STEPS = 8
_EM_ROWS = 2000
# On the host: rows for the choice and for EM, in a matrix of up to so many entries and in others.
_FEW_ENTRIES, _ROWS_OF_FEW, _ROWS_OF_MANY = 330_000, (125, 500), (500, 2000)


def rough_start(problem: MixProblem) -> Float[Array, " m"]:
    """Where EM leads from equal proportions on components spread evenly over the columns.

    On the fewest of 8, 32, 128, … with which the objective is about as low as with any number of
    them: narrow kernels need many.
    """
    problem = every(max(problem.shape[0] // _EM_ROWS, 1), problem)
    starts = _spread(problem.shape[1])
    starts = jnp.asarray(starts, problem.lik.dtype)
    tiny = float(jnp.finfo(starts.dtype).tiny)  # for a unit that a start does not explain
    mix_lik = jnp.maximum(product(starts, problem.lik), tiny)
    loss = product(-jnp.log(mix_lik), problem.weights)
    fewest = jnp.argmax(loss <= jnp.min(loss) + _START_LOSS)

    def step(_: Int[Array, ""], probs: Float[Array, " m"]) -> Float[Array, " m"]:
        return probs * (1.0 - problem.gradient(jnp.maximum(product(probs, problem.lik), tiny)))

    return lax.fori_loop(0, _EM_STEPS, step, starts[fewest])


@lru_cache(maxsize=64)
def _spread(num_components: int) -> np.ndarray:
    """Equal proportions on 8, 32, 128, … components, and on all, a start a row."""
    m = num_components
    count, starts = min(m, _NUM_START), []
    while True:
        start = np.zeros(m)
        start[[j * (m - 1) // max(count - 1, 1) for j in range(count)]] = 1.0 / count
        starts.append(start)
        if count == m:
            break
        count = min(m, 4 * count)
    return np.stack(starts)


def rough_start_on_host(
    likelihoods: Callable[[np.ndarray, int], np.ndarray],
    weights: Float[np.ndarray, " n"],
    num_components: int,
) -> Float[np.ndarray, " m"]:
    """`rough_start` from fewer rows, in NumPy: there is nothing to compile, and no BLAS to wait.

    Called with numbers of components and a stride, `likelihoods` returns those of some units.
    """
    starts = _spread(num_components)
    # What a better start saves depends on what the steps cost.
    few = weights.size * num_components <= _FEW_ENTRIES
    loss_rows, em_rows = _ROWS_OF_FEW if few else _ROWS_OF_MANY
    stride = max(weights.size // loss_rows, 1)
    omega = _weights_of_part(weights[::stride])
    losses = []
    for start in starts:
        members = np.flatnonzero(start)
        mix_lik = np.sum(likelihoods(members, stride), axis=0) / members.size
        losses.append(-np.sum(omega * np.log(np.maximum(mix_lik, np.finfo(mix_lik.dtype).tiny))))
    start = starts[next(i for i, loss in enumerate(losses) if loss <= min(losses) + _START_LOSS)]

    members = np.flatnonzero(start)
    stride = max(weights.size // em_rows, 1)
    lik, omega = likelihoods(members, stride), _weights_of_part(weights[::stride])
    tiny = np.finfo(lik.dtype).tiny
    mass = start[members].astype(lik.dtype)
    for _ in range(_EM_STEPS):
        # Not by `@`: the threads of NumPy's BLAS wait in busy loops.
        mix_lik = np.maximum(np.einsum("j,ji->i", mass, lik), tiny)
        mass = mass * np.einsum("ji,i->j", lik, omega / mix_lik)
    probs = np.zeros(num_components, lik.dtype)
    probs[members] = mass / np.sum(mass)
    return probs


def _weights_of_part(weights: np.ndarray) -> np.ndarray:
    """Weights of a subsample; equal ones should it have none."""
    total = np.sum(weights)
    return weights / total if total > 0 else np.full_like(weights, 1 / weights.size)


def num_levels(num_units: int) -> int:
    """Number of subsamples below the problem itself."""
    levels = 0
    while num_units >= _COARSEST * COARSENING:
        num_units, levels = num_units // COARSENING, levels + 1
    return levels


def every(stride: int, problem: MixProblem) -> MixProblem:
    """Subsample of the rows; equal weights should the subsample have none."""
    if stride == 1:
        return problem
    weights = problem.weights[::stride]
    total = jnp.sum(weights)
    weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1.0), 1 / weights.size)
    return MixProblem(problem.lik[:, ::stride], problem.row_max[::stride], weights)
