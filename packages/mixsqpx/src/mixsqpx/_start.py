"""Where mixSQP starts: subsamples of the rows, and a point for the coarsest of them."""

import math
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
# What a better start saves depends on what the steps cost.
_FEW_ENTRIES, _ROWS_OF_FEW, _ROWS_OF_MANY = 330_000, (125, 500), (500, 2000)
# A likelihood, of one: below it single precision is near the end of its range, and slow.
_LEAST_LOG = np.float32(-80.0)
# Entries of a matrix that OpenBLAS, for one, multiplies a vector by without its threads.
_ONE_THREAD = 9000


def rough_start(problem: MixProblem) -> Float[Array, " m"]:
    """Where EM leads from equal proportions on components spread evenly over the columns.

    On the fewest of 8, 32, 128, … with which the objective is about as low as with any number of
    them: narrow kernels need many.
    """
    problem = every(max(problem.shape[0] // _EM_ROWS, 1), problem)
    starts = np.zeros((len(_spread(problem.shape[1])), problem.shape[1]))
    for start, members in zip(starts, _spread(problem.shape[1]), strict=True):
        start[members] = 1 / members.size
    starts = jnp.asarray(starts, problem.lik.dtype)
    tiny = float(jnp.finfo(starts.dtype).tiny)  # for a unit that a start does not explain
    mix_lik = jnp.maximum(product(starts, problem.lik), tiny)
    loss = product(-jnp.log(mix_lik), problem.weights)
    fewest = jnp.argmax(loss <= jnp.min(loss) + _START_LOSS)

    def step(_: Int[Array, ""], probs: Float[Array, " m"]) -> Float[Array, " m"]:
        return probs * (1.0 - problem.gradient(jnp.maximum(product(probs, problem.lik), tiny)))

    return lax.fori_loop(0, _EM_STEPS, step, starts[fewest])


@lru_cache(maxsize=64)
def _spread(num_components: int) -> tuple[Int[np.ndarray, " k"], ...]:
    """Numbers of 8, 32, 128, … components, spread evenly, and of all."""
    m = num_components
    counts = [min(m, _NUM_START)]
    while counts[-1] < m:
        counts.append(min(m, 4 * counts[-1]))
    return tuple(np.arange(count) * (m - 1) // max(count - 1, 1) for count in counts)


def rough_start_on_host(
    log_lik: Float[np.ndarray, "n m"], weights: Float[np.ndarray, " n"] | None
) -> Float[np.ndarray, " m"]:
    """`rough_start` from fewer rows, in NumPy: there is nothing to compile, and no BLAS to wait."""
    n, m = log_lik.shape
    loss_rows, em_rows = _ROWS_OF_FEW if n * m <= _FEW_ENTRIES else _ROWS_OF_MANY
    rows = slice(None, None, max(n // loss_rows, 1))
    lik = _likelihoods(log_lik[rows])
    omega = _weights_of_part(weights, rows, len(lik))
    losses = [
        math.log(members.size) - np.sum(omega * np.log(lik[:, members].sum(axis=1)))
        for members in _spread(m)
    ]
    fewest = next(i for i, loss in enumerate(losses) if loss <= min(losses) + _START_LOSS)
    members = _spread(m)[fewest]

    more = slice(None, None, max(n // em_rows, 1))
    if more == rows:
        lik = lik[:, members]
    else:
        lik = _likelihoods(log_lik[more, members])  # a factor for each row moves nothing
        omega = _weights_of_part(weights, more, len(lik))
    mass = np.full(members.size, 1 / members.size, np.float32)
    for _ in range(_EM_STEPS):
        mass *= _times(omega / _times(mass, lik.T), lik)
    probs = np.zeros(m)
    probs[members] = mass
    return probs / probs.sum()


def _likelihoods(log_lik: Float[np.ndarray, "r k"]) -> Float[np.ndarray, "r k"]:
    """Likelihoods in single precision, the largest of each row one; ones for data without use."""
    largest = log_lik.max(axis=1, keepdims=True)
    lik = np.exp(np.maximum((log_lik - largest).astype(np.float32), _LEAST_LOG))
    lik[~np.isfinite(largest[:, 0])] = 1.0
    return lik


def _weights_of_part(
    weights: Float[np.ndarray, " n"] | None, rows: slice, num_rows: int
) -> Float[np.ndarray, " r"] | np.float32:
    """Weights of some rows in single precision: one number for equal ones, or if they have none."""
    if weights is not None:
        weights = weights[rows].astype(np.float32)
        if (total := weights.sum()) > 0:
            return weights / total
    return np.float32(1 / num_rows)


def _times(vector: Float[np.ndarray, " r"], matrix: Float[np.ndarray, "r k"]) -> np.ndarray:
    """Their product on one thread: those of NumPy's BLAS wait for each other in busy loops."""
    if matrix.size <= _ONE_THREAD:
        return vector @ matrix
    return np.einsum("i,ij->j", vector, matrix)


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
