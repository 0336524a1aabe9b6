"""The entry point for matrices that are not in memory."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from ._inputs import is_concrete
from ._mistakes import warn_of_tolerance
from ._mixsqp import MixSQP
from ._names import OF_BLOCKS, explain_arguments
from ._progress import watch
from ._raise import raise_on_failure
from ._rows import as_rows
from ._solution import MixSolution
from ._streamed import solve_streamed

_DEFAULT_SOLVER = MixSQP()


@explain_arguments("mixsolve_blocks", OF_BLOCKS)
def mixsolve_blocks(
    log_lik: Any,
    weights: Float[ArrayLike, " n"] | None = None,
    *,
    init: Float[ArrayLike, " m"] | None = None,
    solver: MixSQP = _DEFAULT_SOLVER,
    max_passes: int = 100,
    progress: bool = False,
    throw: bool = True,
) -> MixSolution:
    """`mixsolve` for a matrix larger than memory, which is read in blocks of rows.

    The result and its certificate are those of `mixsolve`. The rows are read several times, mostly
    four to six; in memory are a few blocks, a sample of the rows, and the weights. It cannot be
    traced, and has no derivative.

    Parameters
    ----------
    log_lik : array or sequence of arrays
        Log-likelihoods as `mixsolve` takes them, n units by m components: an array that need not
        be in memory, with a `shape`, a `dtype` and slices of rows, such as a `numpy.memmap` or an
        array of Zarr or HDF5; or the rows in order in blocks of any numbers of rows, as a sequence
        or another iterable that can be gone through again and again. They may be stored in single
        or half precision: the values given are computed with in double precision, if JAX has it
        enabled.
    weights : Float[ArrayLike, "n"], optional
        See `mixsolve`.
    init : Float[ArrayLike, "m"], optional
        Proportions to start from, in place of the optimum of the sample.
    solver : MixSQP
        Its `gap_tol` is that of the solve.
    max_passes : int
        Limit on the passes over the rows, that for the sample among them.
    progress : bool
        Whether to show the rows that have been read, with tqdm.
    throw : bool
        See `mixsolve`.

    Returns
    -------
    MixSolution
        `stats["num_passes"]` is how often the rows were read. Of a memory map the first pass reads
        no more than the sample.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        See `mixsolve`; and for blocks of different widths or dtypes, or that are not the same each
        time; for an iterator, which can be read but once.
    ImportError
        For `progress=True` without tqdm.

    Warns
    -----
    UserWarning
        See `mixsolve`; likelihoods in place of their logarithms are looked for in the sample.

    Notes
    -----
    The sample has some 10 million log-likelihoods. Its optimum is the start. A pass computes, at
    the last proportions, the gradient over all components and the Hessian of a working set, and
    finds the units that are explained worst. With these and the sample the objective is known well
    enough nearby to minimise it without a further pass.

    Examples
    --------
    >>> import jax.numpy as jnp, mixsqpx
    >>> lik = jnp.array([[1.0, 0.5], [0.2, 1.0], [0.4, 1.0]])
    >>> solution = mixsqpx.mixsolve_blocks([jnp.log(lik[:2]), jnp.log(lik[2:])])
    >>> bool(solution.gap < 1e-5)
    True
    >>> int(solution.stats["num_passes"])
    2
    """
    if not is_concrete(log_lik, weights, init):
        raise TypeError(
            "`mixsolve_blocks` reads its rows while it runs, and cannot be traced by "
            "`jit`, `vmap` or `grad`. In there, use `mixsolve`."
        )
    if not isinstance(solver, MixSQP):
        raise TypeError(f"`solver` must be MixSQP(), with its options, not {solver!r}.")
    if isinstance(max_passes, bool) or not isinstance(max_passes, int | np.integer):
        raise ValueError(f"`max_passes` must be an integer, but it is {max_passes!r}.")
    if max_passes < 2:
        raise ValueError(
            f"`max_passes` must be at least 2, for the sample and for the certificate, but it is "
            f"{max_passes}."
        )
    rows = as_rows(log_lik)
    dtype = np.dtype(jnp.result_type(float))
    warn_of_tolerance(solver.gap_tol, dtype, log_lik)
    with watch(progress) as report:
        solution = solve_streamed(
            rows,
            weights,
            init,
            gap_tol=solver.resolve_gap_tol(dtype),
            max_passes=int(max_passes),
            progress=report,
        )
    if throw:
        raise_on_failure(solution, solution.result, solution.stats["unit"], solution.gap)
    return solution
