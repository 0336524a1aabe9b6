"""What a solver is, and the one loop that drives every solver to a certificate."""

import abc
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._names import OF_A_SOLVER, explain_names
from ._problem import MixProblem, gap_from_violation
from ._reductions import sums_and_maxima
from ._solution import RESULTS

S = TypeVar("S")

# Steps in a row without progress after which the precision is taken to be exhausted.
PATIENCE = 3


class MixState(eqx.Module):
    """An iterate on the simplex, with what every solver needs at it.

    `mix_lik` is u = a p and `gradient` is over all components, both at `probs`; `violation` is the
    largest -gⱼ, `slope` the largest |gⱼ| of the `num_active` components in the mixture, and
    `num_candidates` of the others have gⱼ < 0.

    `left_over` is positive where a component of no mass to speak of is left over in the mixture,
    with a slope that drives it out: see `excess`. It costs nothing, so the gap does not see it, but
    derivatives take the components in the mixture for the active ones.

    `num_steps` is below zero as long as steps are not yet those of the method, and `num_stalled`
    counts those in a row that made no progress; `record` is the smallest violation so far.
    `inexact` says that the last step left more slope at the components in the mixture than it meant
    to, or hardly less violation. `model` is what a method keeps of a step for the next.
    """

    probs: Float[Array, " m"]
    mix_lik: Float[Array, " n"]
    gradient: Float[Array, " m"]
    num_active: Int[Array, ""]
    num_candidates: Int[Array, ""]
    violation: Float[Array, ""]
    slope: Float[Array, ""]
    left_over: Float[Array, ""]
    num_steps: Int[Array, ""]
    num_stalled: Int[Array, ""]
    record: Float[Array, ""]
    inexact: Bool[Array, ""]
    model: PyTree = None

    @property
    def gap(self) -> Float[Array, ""]:
        """Optimality gap at `probs`, over all components."""
        return gap_from_violation(self.violation)


def unevaluated(
    problem: MixProblem, probs: Float[Array, " m"], num_early: int, model: PyTree = None
) -> MixState:
    """First state at a point of the simplex, whose gradient is left to the first step."""
    state = first_state(*problem.shape, probs.dtype, num_early, model)
    return replace(state, probs=probs, mix_lik=problem.mixture(probs))


def first_state(
    num_units: int, num_components: int, dtype: DTypeLike, num_early: int, model: PyTree
) -> MixState:
    """A state of which nothing is known: its first step evaluates it."""
    nothing, unknown = jnp.zeros(num_components, dtype), jnp.full((), jnp.inf, dtype)
    early, zero, no = jnp.asarray(-num_early), jnp.asarray(0), jnp.asarray(False)
    return MixState(
        probs=nothing,
        mix_lik=jnp.ones(num_units, dtype),
        gradient=nothing,
        num_active=zero,
        num_candidates=zero,
        violation=unknown,
        slope=unknown,
        left_over=unknown,
        num_steps=early,
        num_stalled=zero,
        record=unknown,
        inexact=no,
        model=model,
    )


def evaluate(
    problem: MixProblem, probs: Float[Array, " m"], mix_lik: Float[Array, " n"], slack: float
) -> dict[str, Array]:
    """The fields of a state that its point of the simplex determines."""
    gradient = problem.gradient(mix_lik)
    positive = probs > 0
    candidate = ~positive & (gradient < 0)
    slopes = jnp.where(positive, jnp.abs(gradient), 0.0)
    num_active, num_candidates, violation, slope, left_over = sums_and_maxima(
        (positive.astype(int), candidate.astype(int)),
        (-gradient, slopes, excess(probs, gradient, slack)),
    )
    return {
        "probs": probs,
        "mix_lik": mix_lik,
        "gradient": gradient,
        "num_active": num_active,
        "num_candidates": num_candidates,
        "violation": violation,
        "slope": slope,
        "left_over": left_over,
    }


def excess(
    probs: Float[Array, " m"], gradient: Float[Array, " m"], slack: float
) -> Float[Array, " m"]:
    """How far the slope of a component is above what a component of the optimum may have.

    At an optimum pⱼgⱼ = 0. Near it the smaller of the two is the one that vanishes, unless both
    are: slopes below `slack` say nothing.
    """
    return jnp.where(probs > 0, gradient - jnp.maximum(probs, slack), -1.0)


def as_python(number: Any) -> Any:
    """A number of NumPy as one of Python, which can be compared and hashed; all else as it is."""
    return number.item() if isinstance(number, np.number) else number


class AbstractMixSolver(eqx.Module):
    """A method: options, a first iterate and a step. The loop belongs to `iterate`.

    Attributes
    ----------
    gap_tol : float or None
        Optimality gap, in nats per unit weight, at which a solve has converged. None stands for
        1e-10 in float64 and 1e-5 in float32.

    Examples
    --------
    >>> import mixsqpx
    >>> all(isinstance(s, mixsqpx.AbstractMixSolver) for s in (mixsqpx.MixSQP(), mixsqpx.EM()))
    True
    """

    gap_tol: eqx.AbstractVar[float | None]
    # Whether a component that starts at zero can enter the mixture.
    starts_anywhere: ClassVar[bool]
    usual_max_steps: ClassVar[int] = 1000
    # Whether a step depends on `gap_tol`.
    looks_at_tol: ClassVar[bool]

    def __new__(cls: type[S], *_: Any, **options: Any) -> S:
        """Explain the name of an option that is called otherwise here."""
        explain_names(cls.__name__, options, OF_A_SOLVER)
        return super().__new__(cls)  # pyright: ignore[reportArgumentType]

    def __check_init__(self) -> None:
        """Refuse a tolerance that no gap could be compared with, or that none could meet."""
        tol = self.gap_tol
        if tol is not None and not (isinstance(tol, float | int) and tol > 0):
            raise ValueError(f"`gap_tol` must be a positive number or None, but it is {tol!r}.")

    @abc.abstractmethod
    def init(self, problem: MixProblem, init: Float[Array, " m"] | None) -> MixState:
        """First iterate, from a given point of the simplex or the solver's own."""

    @abc.abstractmethod
    def resume(self, problem: MixProblem, state: MixState) -> MixState:
        """First iterate, from the last one of another problem."""

    @abc.abstractmethod
    def first_point(
        self,
        log_lik: Float[np.ndarray, "n m"],
        weights: Float[np.ndarray, " n"] | None,
    ) -> Float[np.ndarray, " m"]:
        """The solver's own first point, for known numbers; see `rough_start_on_host`."""

    @abc.abstractmethod
    def no_model(
        self, num_units: int, num_components: int, dtype: DTypeLike, rung: int | None = None
    ) -> PyTree:
        """What a state keeps for the next step where there is nothing to keep.

        For steps of one size, or of any; None where steps of that size keep nothing.
        """

    @abc.abstractmethod
    def sizes(self, num_units: int, num_components: int) -> tuple[int, ...]:
        """Sizes that a step is compiled for: of working sets, the last for all components."""

    @abc.abstractmethod
    def choose(self, problem: MixProblem, state: MixState) -> Int[Array, ""]:
        """Index of the smallest of the sizes that does for the next step."""

    @abc.abstractmethod
    def step(self, problem: MixProblem, state: MixState, rung: int | None = None) -> MixState:
        """Next iterate, by a step of one of the sizes; None leaves the choice to the numbers."""

    def resolve_gap_tol(self, dtype: DTypeLike) -> float:
        """`gap_tol`, or its default for a dtype."""
        if self.gap_tol is not None:
            return self.gap_tol
        return 1e-10 if np.dtype(dtype).itemsize >= 8 else 1e-5


def is_unfinished(
    state: MixState, gap_tol: float | Float[Array, ""], max_steps: int | Int[Array, ""]
) -> Bool[Array, ""]:
    """Whether there is to be another step.

    Until the gap over all components is at most `gap_tol`; then until no component is left over.
    """
    return (
        ((state.gap > gap_tol) | (state.left_over > 0))
        & (state.num_steps < max_steps)
        & (state.num_stalled < PATIENCE)
    )


def advance(
    solver: AbstractMixSolver,
    problem: MixProblem,
    state: MixState,
    gap_tol: float | Float[Array, ""],
    rung: int | None = None,
) -> MixState:
    """A step, unless the state would not be optimal any more."""
    new = solver.step(problem, state, rung)
    lost = (state.gap <= gap_tol) & ~(new.gap <= gap_tol)
    kept = eqx.tree_at(lambda s: s.left_over, state, jnp.zeros_like(state.left_over))
    return lax.cond(lost, lambda: kept, lambda: new)


def iterate(
    solver: AbstractMixSolver,
    problem: MixProblem,
    state: MixState,
    *,
    gap_tol: float,
    max_steps: int,
    ok: bool | Bool[Array, ""] = True,
) -> tuple[MixState, RESULTS]:
    """Step until the gap over all components is at most `gap_tol`; nothing else is success."""
    state = lax.while_loop(
        lambda state: ok & is_unfinished(state, gap_tol, max_steps),
        lambda state: advance(solver, problem, state, gap_tol),
        state,
    )
    failure = RESULTS.where(
        state.num_stalled < PATIENCE, RESULTS.mix_max_steps_reached, RESULTS.precision_exhausted
    )
    failure = RESULTS.where(jnp.isfinite(state.gap), failure, RESULTS.nonfinite)
    return state, RESULTS.where(state.gap <= gap_tol, RESULTS.successful, failure)


def phase(
    solver: AbstractMixSolver,
    problem: MixProblem,
    state: MixState,
    gap_tol: Float[Array, ""],
    max_steps: Int[Array, ""],
    rung: int,
) -> tuple[MixState, Int[Array, ""]]:
    """`iterate` with steps of one size, as long as that is enough.

    Returns
    -------
    state : MixState
    rung : Int[Array, ""]
        Index of the size that is needed next; -1 at the end.
    """

    def needed(state: MixState) -> Int[Array, ""]:
        goes_on = is_unfinished(state, gap_tol, max_steps)
        return jnp.where(goes_on, solver.choose(problem, state), -1)

    def proceeds(state: MixState) -> Bool[Array, ""]:
        at = needed(state)
        return (at >= 0) & (at <= rung)

    state = lax.while_loop(
        proceeds, lambda state: advance(solver, problem, state, gap_tol, rung), state
    )
    return state, needed(state)
