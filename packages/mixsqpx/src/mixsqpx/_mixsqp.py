"""mixSQP: sequential quadratic programs on a working set of components."""

from functools import partial
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from ._blocks import Block, fold_blocks
from ._ladder import ladder, rung_for
from ._problem import MixProblem, largest
from ._qp import solve_qp
from ._solver import AbstractMixSolver, MixState, as_python, excess, iterate, unevaluated

# Components of the first iterate, and how much worse than more of them they may be, in nats.
_NUM_START = 8
_START_LOSS = 0.3
# From there EM finds the bulk of the mass in fewer passes than quadratic programs would.
_EM_STEPS = 8
# A unit is unexplained at less than this of the bound in `_cover`.
_SHORT = 0.3
# Each coarser level has every 16th row of the next, down to about a thousand rows: there its
# optimum is a good start, and a solve costs little beside one pass over the finer level.
_COARSENING = 16
_COARSEST = 1000
# The optimum of a sample of s rows leaves a gap of the order of (active components)/s on the whole.
_COARSE_GAP = 1e-3
_COARSE_STEPS = 50
# Multipliers of a quadratic program are solved for to a part of the largest violation, v: to v
# itself within these bounds. Far from the optimum the quadratic is not worth more.
_QP_FINEST, _QP_COARSEST = 1e-3, 0.1
# Candidates that a working set should hold besides the positive components.
_MIN_CANDIDATES = 4
# First of two sizes of working sets: enough for most optima on a grid, with candidates.
_FIRST_OF_TWO = 24
# Above this violation H is formed in single precision, two to three times as fast. Below it, the
# small eigenvalues of H matter, and single precision costs steps.
_ROUGH_ABOVE = 1e-4
_ROUGH_RIDGE = 1e-6
# Below this number of multiplications it is not worth compiling both.
_ROUGH_WORK = 4_000_000
# Armijo's constant and the shortest step: the defaults of the R package.
_SUFFICIENT_DECREASE = 0.01
_MIN_STEP = 1e-8


class MixSQP(AbstractMixSolver):
    """Sequential quadratic programming on a working set, after Kim et al. (2020).

    Where it differs from the R package: the Hessian is formed on a working set of components, which
    grows up a ladder of sizes to all of them, and in single precision far from the optimum;
    convergence is judged by the optimality gap over all components; nothing is added to the mixture
    likelihoods; the matrix is not replaced by one of low rank; the first iterates come from EM and
    quadratic programs on a subsample of the rows; the programs may take in and drop several
    components at once.

    Attributes
    ----------
    gap_tol : float or None
        See `AbstractMixSolver`.
    """

    gap_tol: float | None = eqx.field(default=None, static=True, converter=as_python)
    starts_anywhere: ClassVar[bool] = True

    def init(self, problem: MixProblem, init: Float[Array, " m"] | None) -> MixState:
        """First iterate: `init`, or a few EM steps and the optimum of a subsample of the rows."""
        if init is not None:
            return unevaluated(problem, init, num_early=1)
        stride = _COARSENING ** _num_levels(problem.shape[0])
        part = _every(stride, problem)
        state = unevaluated(part, _spread(part), num_early=2)
        while stride > 1:
            state, _ = iterate(self, part, state, gap_tol=_COARSE_GAP, max_steps=_COARSE_STEPS)
            stride //= _COARSENING
            part = _every(stride, problem)
            state = unevaluated(part, state.probs, num_early=1)
        return state

    def step(self, problem: MixProblem, state: MixState) -> MixState:
        """One quadratic program on a working set, and a line search (Kim et al., algorithm 1).

        The smallest rung of the ladder is taken that holds all positive components and some of the
        candidates, so proportions outside the working set are always zero. Early steps lead
        elsewhere and share the rest, since a program for each would take long to compile.
        """
        sizes = ladder(*problem.shape, first_of_two=_FIRST_OF_TWO)
        positive = state.probs > 0
        candidate = ~positive & (state.gradient < 0)
        num_positive, num_candidates = jnp.sum(jnp.stack([positive, candidate]), axis=1)
        wanted = num_positive + jnp.minimum(num_candidates, _MIN_CANDIDATES + num_positive // 10)
        order = jnp.argsort(-_score(state))
        branches = [_early_target, *(partial(_subproblem, size=size) for size in sizes)]
        branch = jnp.where(state.num_early > 0, 0, 1 + rung_for(wanted, sizes))
        scale = jnp.sqrt(problem.weights) / state.mix_lik
        target = lax.switch(branch, branches, problem, state, order, scale)
        return _line_search(problem, state, target, self.slack(state.probs.dtype))


def _spread(problem: MixProblem) -> Float[Array, " m"]:
    """Equal proportions on components spread evenly over the columns.

    On the fewest of 8, 32, 128, … with which the objective is about as low as with any number of
    them: narrow kernels need many.
    """
    m = problem.shape[1]
    count, starts = min(m, _NUM_START), []
    while True:
        start = np.zeros(m)
        start[[j * (m - 1) // max(count - 1, 1) for j in range(count)]] = 1.0 / count
        starts.append(start)
        if count == m:
            break
        count = min(m, 4 * count)
    starts = jnp.asarray(np.stack(starts), problem.lik.dtype)
    tiny = float(jnp.finfo(starts.dtype).tiny)  # for a unit that a start does not explain
    loss = -jnp.log(jnp.maximum(starts @ problem.lik, tiny)) @ problem.weights
    return starts[jnp.argmax(loss <= jnp.min(loss) + _START_LOSS)]


def _num_levels(num_units: int) -> int:
    """Number of subsamples below the problem itself."""
    levels = 0
    while num_units >= _COARSEST * _COARSENING:
        num_units, levels = num_units // _COARSENING, levels + 1
    return levels


def _every(stride: int, problem: MixProblem) -> MixProblem:
    """Subsample of the rows; equal weights should the subsample have none."""
    weights = problem.weights[::stride]
    total = jnp.sum(weights)
    weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1.0), 1 / weights.size)
    return MixProblem(problem.lik[:, ::stride], problem.row_max[::stride], weights)


def _cover(
    problem: MixProblem, probs: Float[Array, " m"], mix_lik: Float[Array, " n"]
) -> tuple[Float[Array, " m"], Float[Array, " n"]]:
    """Give mass ωᵢ to the best component of each unit i that the proportions hardly explain.

    At the optimum uᵢ >= ωᵢ, since gⱼ >= 0 at the best component, where aᵢⱼ is one. Far below that
    bound the quadratic model of -log uᵢ says nothing, Newton's method crawls (each step doubles
    uᵢ), and the Hessian may overflow. At less than 0.3 of the bound the added mass pays for itself:
    the unit gains ωᵢ log(1 + 1/0.3) = 1.47 ωᵢ, and the others lose ωᵢ at most.
    """
    bound = _SHORT * problem.weights

    def add(
        probs: Float[Array, " m"], mix_lik: Float[Array, " n"]
    ) -> tuple[Float[Array, " m"], Float[Array, " n"]]:
        best = jnp.argmax(problem.lik, axis=0)
        probs = probs.at[best].add(jnp.where(mix_lik < bound, problem.weights, 0.0))
        return probs, problem.mixture(probs)

    return lax.cond(jnp.any(mix_lik < bound), add, lambda *same: same, probs, mix_lik)


def _early_target(problem: MixProblem, state: MixState, *_: Array) -> Float[Array, " m"]:
    """The state itself as long as its gradient is not known, and then where EM leads."""
    count = jnp.where(jnp.isinf(state.violation), 0, _EM_STEPS)

    def step(_: Int[Array, ""], at: tuple[Array, Array]) -> tuple[Array, Array]:
        probs, mix_lik = at
        probs = probs * (1.0 - problem.gradient(mix_lik))
        return probs, problem.mixture(probs)

    return lax.fori_loop(0, count, step, (state.probs, state.mix_lik))[0]


def _score(state: MixState) -> Float[Array, " m"]:
    """Priority for the working set: positive components, peaks of the violation, the violation.

    Components usually come from a grid, and the violation -g is smooth along it: its peaks are
    where new mass belongs, and would otherwise lose to the neighbours of the highest one. For
    columns in no order this is a random choice among violators.
    """
    violation = -state.gradient
    padded = jnp.pad(violation, 1, constant_values=-jnp.inf)
    is_peak = (violation > 0) & (violation >= padded[:-2]) & (violation >= padded[2:])
    score = jnp.where(is_peak, violation + state.violation, violation)
    return jnp.where(state.probs > 0, jnp.inf, score)


def _subproblem(
    problem: MixProblem,
    state: MixState,
    order: Int[Array, " m"],
    scale: Float[Array, " n"],
    *,
    size: int,
) -> Float[Array, " m"]:
    """Minimiser of the quadratic model over the first components of an order.

    `scale` holds √ωᵢ/uᵢ.
    """
    members = order[:size] if size < order.size else slice(None)
    probs, gradient = state.probs[members], state.gradient[members]
    worst = state.violation
    rough = (worst > _ROUGH_ABOVE) & ~state.inexact
    hess = _damped_hessian(problem, members, scale, rough)
    tol = worst * jnp.clip(worst, _QP_FINEST, _QP_COARSEST)
    target = solve_qp(hess, gradient, probs, tol)
    return jnp.zeros_like(state.probs).at[members].set(target)


def _damped_hessian(
    problem: MixProblem,
    members: Int[Array, " k"] | slice,
    scale: Float[Array, " n"],
    rough: Bool[Array, ""],
) -> Float[Array, "k k"]:
    """H = Σᵢ ωᵢ aᵢ aᵢᵀ/uᵢ² of some components with a ridge, in single precision if `rough`.

    Neighbouring components are nearly equal, and H numerically singular: the ridge, above the
    rounding errors of H, keeps its factors accurate. It damps the step (a proximal term around
    `probs`) and does not move the optimum, whose gradient is exact. A component that explains no
    unit has a diagonal near underflow, hence the floor.
    """
    dtype = problem.lik.dtype
    k, n = jax.eval_shape(lambda: problem.lik[members]).shape

    def product(precision: DTypeLike) -> Float[Array, "k k"]:
        def add(block: Block, hess: Float[Array, "k k"]) -> Float[Array, "k k"]:
            # Gathered, scaled and rounded in one pass.
            root = jnp.where(block.is_new, block.of(scale, 0), 0.0)
            scaled = (block.of(problem.lik, 1)[members] * root[None, :]).astype(precision)
            return hess + (scaled @ scaled.T).astype(dtype)

        return fold_blocks(add, jnp.zeros((k, k), dtype), n, k)

    eps, ridge = float(jnp.finfo(dtype).eps), float(jnp.finfo(dtype).eps) ** (2 / 3)
    if jnp.finfo(dtype).bits <= 32 or n * k * k < _ROUGH_WORK:
        hess = product(dtype)
    else:
        single = partial(product, jnp.float32)
        hess = lax.cond(rough, single, partial(product, dtype))
        ridge = jnp.where(rough, _ROUGH_RIDGE, ridge)
        eps = jnp.where(rough, float(jnp.finfo(jnp.float32).eps), eps)
    ridged = hess + jnp.maximum(ridge * hess, eps)
    return jnp.where(jnp.eye(k, dtype=bool), ridged, hess)


def _line_search(
    problem: MixProblem, state: MixState, target: Float[Array, " m"], slack: float
) -> MixState:
    """Halve the step to the target until Armijo's condition holds; then cover, and rescale."""
    target_lik = problem.mixture(target)
    step = target - state.probs
    mass, slope = jnp.sum(jnp.stack([step, state.gradient * step]), axis=1)
    relative = (target_lik - state.mix_lik) / state.mix_lik
    slack = 4 * float(jnp.finfo(step.dtype).eps)  # rounding of the change, of the order of eps

    def too_long(carry: tuple[Float[Array, ""], Float[Array, ""]]) -> Bool[Array, ""]:
        length, change = carry
        enough = change <= _SUFFICIENT_DECREASE * length * slope + slack
        return ~enough & (length > _MIN_STEP)

    def halve(
        carry: tuple[Float[Array, ""], Float[Array, ""]],
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        length = carry[0] / 2
        return length, length * mass - problem.weights @ jnp.log1p(length * relative)

    start = (jnp.full_like(slope, 2.0), jnp.full_like(slope, jnp.inf))
    length, change = lax.while_loop(too_long, halve, start)
    usable = (length > _MIN_STEP) & jnp.isfinite(change)
    # The full step is the target itself, with its exact zeros.
    full = length == 1
    probs = jnp.where(full, target, state.probs + length * step)
    mix_lik = jnp.where(full, target_lik, state.mix_lik * (1 + length * relative))
    probs = jnp.where(usable, probs, state.probs)
    mix_lik = jnp.where(usable, mix_lik, state.mix_lik)
    probs, mix_lik = _cover(problem, probs, mix_lik)
    # Dividing by the total minimises the objective along the ray.
    total = jnp.sum(probs)
    probs, mix_lik = probs / total, mix_lik / total
    gradient = problem.gradient(mix_lik)
    # The quadratic program left no slope at the components it gave mass; new ones may violate.
    remaining = jnp.where(probs > 0, jnp.abs(gradient), 0.0)
    violation, left, out = largest(
        jnp.stack([-gradient, remaining, excess(probs, gradient, slack)])
    )
    better = (usable & (change < 0)) | (violation < state.violation)
    early = state.num_early > 0
    return MixState(
        probs,
        mix_lik,
        gradient,
        violation,
        jnp.where(early, state.num_steps, state.num_steps + 1),
        jnp.where(better, 0, state.num_stalled + 1),
        jnp.maximum(state.num_early - 1, 0),
        ~early & ~(left < 0.5 * state.violation),
        out <= 0,
    )
