"""`TrustRegionNewton` through `optimistix.minimise`, on functions with known minima."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
import pytest
from jax.flatten_util import ravel_pytree

from spmlex import TrustRegionNewton

NEWTON = TrustRegionNewton()


class Case(NamedTuple):
    """A function, a start, its minimum, and how exactly a gradient of 1e-10 determines that."""

    fn: Any
    start: Any
    minimum: Any
    tol: float = 1e-9
    max_steps: int = 100


def rosenbrock(y, args):
    del args
    return 100 * (y[1] - y[0] ** 2) ** 2 + (1 - y[0]) ** 2


def coupled(y, args):
    del args
    a, b = y["a"], y["b"][0]
    return jnp.sum((a - 1.0) ** 4 + (a - 1.0) ** 2) + (b - jnp.sum(a)) ** 2


def kinked(y, args):
    # The second derivative jumps, at the minimum and elsewhere: 2, 20 and 1.
    del args
    one = jnp.where(y[0] > 0, y[0] ** 2, 10 * y[0] ** 2)
    distance = jnp.abs(y[1] - 3.0)
    huber = jnp.where(distance < 1, 0.5 * distance**2, distance - 0.5)
    return one + huber + 0.1 * jnp.sum(y**2) * one


CASES = {
    # One step if the first region held the minimum; the eigenvalues are 1, 10 and 100.
    "quadratic": Case(
        lambda y, _: 0.5 * jnp.sum(jnp.array([1.0, 10.0, 100.0]) * (y - 2) ** 2),
        jnp.array([5.0, -3.0, 1.0]),
        jnp.full(3, 2.0),
    ),
    "scalar": Case(lambda y, _: jnp.cosh(y - 0.5), jnp.array(3.0), jnp.array(0.5)),
    # Smallest eigenvalue of the Hessian at (1, 1): 0.4.
    "Rosenbrock": Case(rosenbrock, jnp.array([-1.2, 1.0]), jnp.ones(2)),
    # Starts where the Hessian has a negative eigenvalue, and no slope along it: the hard case.
    "on the ridge of a saddle": Case(
        lambda y, _: y[0] ** 2 - y[1] ** 2 + y[1] ** 4 / 2 + 0.01 * y[1] ** 3,
        jnp.array([1.0, 0.0]),
        # -2 y + 2 y³ + 0.03 y² = 0; either basin will do, and this is where the sign rule leads.
        None,
    ),
    "indefinite": Case(
        lambda y, _: jnp.sum(y**4 - y**2 + 0.5 * y), jnp.array([0.1, -0.1, 0.3]), None
    ),
    # 2y - y²: Newton's step from 30 leads to -840, where the logarithm is NaN.
    "log barrier": Case(lambda y, _: jnp.sum(y - jnp.log(y)), jnp.array([30.0, 1e-3]), jnp.ones(2)),
    "infinite outside": Case(
        lambda y, _: (
            jnp.where(y[0] < 2, -jnp.log(jnp.maximum(2 - y[0], 1e-300)) - y[0], jnp.inf) + y[1] ** 2
        ),
        jnp.array([-40.0, 1.0]),
        jnp.array([1.0, 0.0]),
    ),
    # The Hessian at the start is e⁻⁵⁰, and the first step overflows.
    "overflow": Case(lambda y, _: jnp.exp(y) - y, jnp.array(-50.0), jnp.array(0.0)),
    # Second derivatives of 1e8 and 1e-6: g <= 1e-10 leaves 1e-4 in the second.
    "badly scaled": Case(
        lambda y, _: rosenbrock(jnp.stack([1e4 * y[0], 1e-3 * y[1]]), None),
        jnp.array([-1.2e-4, 1e3]),
        jnp.array([1e-4, 1e3]),
        1e-3,
    ),
    "PyTree": Case(
        coupled,
        {"a": jnp.array([3.0, -2.0]), "b": (jnp.array(7.0),)},
        {"a": jnp.ones(2), "b": (jnp.array(2.0),)},
    ),
    "kink in the second derivative": Case(kinked, jnp.array([-4.0, 9.0]), jnp.array([0.0, 3.0])),
    # The second derivative vanishes at the minimum: linear convergence, y = √(g/3) = 6e-6.
    "cubed distance": Case(
        lambda y, _: jnp.sum(jnp.abs(y - 1) ** 3), jnp.array([4.0]), jnp.array([1.0]), 1e-5
    ),
    # Below rounding of the value, 1e6 eps = 2e-10, the gradient alone tells a good step.
    "large constant": Case(
        lambda y, _: 1e6 + 1e-3 * (rosenbrock(y, None) - 1e-3 * jnp.sum(y)),
        jnp.array([-1.2, 1.0]),
        None,
    ),
}


def gradient_norm(fn, y, args=None):
    return optx.max_norm(jax.grad(fn)(y, args))


def scaled_gradient(fn, y, args=None):
    """The gradient over the root of the second derivatives, as the minimiser looks at it."""
    flat, unravel = ravel_pytree(y)
    grad = jax.grad(lambda flat: fn(unravel(flat), args))(flat)
    diagonal = np.abs(np.diagonal(jax.hessian(lambda flat: fn(unravel(flat), args))(flat)))
    return np.asarray(grad) / np.sqrt(np.where(diagonal > 0, diagonal, 1))


@pytest.mark.parametrize("name", CASES)
def test_finds_known_minima(name):
    case = CASES[name]
    solver = TrustRegionNewton(rtol=0.0, atol=1e-10)
    solution = optx.minimise(case.fn, solver, case.start, max_steps=case.max_steps)
    assert solution.result == optx.RESULTS.successful
    # The one criterion, evaluated anew.
    scaled = scaled_gradient(case.fn, solution.value)
    # Where the second derivative vanishes with the gradient, no more than rounding is to be gained.
    gone = gradient_norm(case.fn, solution.value) <= 1e-10 and np.sum(scaled**2) / 2 <= 2e-15
    assert np.max(np.abs(scaled)) <= 1e-10 or gone
    curvature = jax.hessian(lambda flat: case.fn(ravel_pytree(case.start)[1](flat), None))(
        ravel_pytree(solution.value)[0]
    )
    assert np.all(np.linalg.eigvalsh(np.atleast_2d(curvature)) >= 0)
    assert case.fn(solution.value, None) < case.fn(case.start, None)
    if case.minimum is not None:
        for ours, expected in zip(
            *map(jax.tree.leaves, (solution.value, case.minimum)), strict=True
        ):
            np.testing.assert_allclose(ours, expected, atol=case.tol)


@pytest.mark.parametrize("scale", [(1e9, 1e-9), (1e-12, 1e-12), (1.0, 1e10)])
def test_units_of_the_parameters_do_not_matter(scale):
    # Where gradients are large by rounding alone, and where they are small far from the minimum.
    scale, start = jnp.array(scale), jnp.array([-1.2, 1.0])
    plain = optx.minimise(rosenbrock, NEWTON, start)
    scaled = optx.minimise(lambda y, args: rosenbrock(y * scale, args), NEWTON, start / scale)
    assert scaled.result == optx.RESULTS.successful
    np.testing.assert_allclose(scaled.value * scale, plain.value, rtol=1e-12)
    assert scaled.stats["num_steps"] == plain.stats["num_steps"]


def test_flat_direction_is_left_alone():
    # The sum alone is determined. From a start of (3, 0, 0), (1/3) (1, 1, 1) nearer to one.
    def fn(y, args):
        del args
        return jnp.cosh(jnp.sum(y) - 1)

    solution = optx.minimise(fn, NEWTON, jnp.array([3.0, 0.0, 0.0]))
    assert solution.result == optx.RESULTS.successful
    np.testing.assert_allclose(solution.value, np.array([3.0, 0.0, 0.0]) - 2 / 3, atol=1e-9)


def drive(fn, start, solver=NEWTON, max_steps=60):
    """Values, gradient norms and points, step by step, and the end."""

    def with_aux(y, args):
        return fn(y, args), y

    struct = jax.ShapeDtypeStruct((), start.dtype), jax.ShapeDtypeStruct(start.shape, start.dtype)
    state = solver.init(with_aux, start, None, {}, *struct, frozenset())
    step = jax.jit(lambda y, state: solver.step(with_aux, y, None, {}, state, frozenset()))
    y, rows = start, []
    for _ in range(max_steps):
        y, state, aux = step(y, state)
        # Of a rejected trial neither the point nor its auxiliary output is returned.
        np.testing.assert_array_equal(aux, y)
        rows.append((float(fn(y, None)), float(gradient_norm(fn, y)), np.asarray(y)))
        done, result = solver.terminate(with_aux, y, None, {}, state, frozenset())
        if done or result != optx.RESULTS.successful:
            return rows, result
    raise AssertionError("no end")


@pytest.mark.parametrize("rtol", [0.0, 1e-3])
def test_ends_at_the_first_small_gradient_and_not_before(rtol):
    solver = TrustRegionNewton(rtol=rtol, atol=1e-6)
    rows, result = drive(lambda y, _: rosenbrock(y, None) + 5.0, jnp.array([-1.2, 1.0]), solver)
    assert result == optx.RESULTS.successful
    small = [
        np.max(np.abs(scaled_gradient(rosenbrock, y))) <= 1e-6 + rtol * abs(value)
        for value, _, y in rows
    ]
    assert small == [False] * (len(rows) - 1) + [True]
    # Monotone, and with repeats where a trial was rejected.
    values = np.array([value for value, _, _ in rows])
    assert np.all(np.diff(values) <= 0)
    assert np.any(np.diff(values) == 0)


def test_converges_quadratically():
    rows, result = drive(lambda y, _: jnp.sum(jnp.cosh(y) + y**4 - y), jnp.array([3.0, -2.0]))
    assert result == optx.RESULTS.successful
    norms = np.array([norm for _, norm, _ in rows])
    late = (norms[:-1] < 0.1) & (norms[:-1] > 1e-7)
    assert np.count_nonzero(late) >= 2
    # g⁺ ≈ f''' g²/(2 f''²), and at the minimum, y = 0.53, f''' = sinh y + 24 y is 13, f'' 4.5.
    assert np.all(norms[1:][late] <= 0.5 * norms[:-1][late] ** 2)


def test_another_norm():
    def norm(y):
        return jnp.sqrt(jnp.sum(y**2))

    solver = TrustRegionNewton(rtol=0.0, atol=1e-3, norm=norm)
    rows, result = drive(rosenbrock, jnp.array([-1.2, 1.0]), solver)
    assert result == optx.RESULTS.successful
    norms = [float(norm(scaled_gradient(rosenbrock, y))) for _, _, y in rows]
    assert [one <= 1e-3 for one in norms] == [False] * (len(rows) - 1) + [True]


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_a_start_that_is_not_finite(bad):
    def fn(y, args):
        del args
        return jnp.sum(y**2) + jnp.where(y[0] > 2, bad, 0.0)

    start = jnp.array([3.0, 0.0])
    solution = optx.minimise(fn, NEWTON, start, throw=False)
    assert solution.result == optx.RESULTS.nonfinite
    np.testing.assert_array_equal(solution.value, start)
    with pytest.raises(RuntimeError, match="Nonfinite"):
        optx.minimise(fn, NEWTON, start)


def test_a_start_whose_derivatives_alone_are_not_finite():
    solution = optx.minimise(lambda y, _: jnp.sqrt(y) + y, NEWTON, jnp.array(0.0), throw=False)
    assert solution.result == optx.RESULTS.nonfinite


def test_a_kink_is_no_minimum():
    # |y - 0.3| has a gradient of one everywhere: the region shrinks on the kink, without success.
    solution = optx.minimise(
        lambda y, _: jnp.abs(y - 0.3), NEWTON, jnp.array(5.0), throw=False, max_steps=500
    )
    assert solution.result == optx.RESULTS.stagnation
    np.testing.assert_allclose(solution.value, 0.3, atol=1e-12)


def test_step_limit():
    solution = optx.minimise(rosenbrock, NEWTON, jnp.array([-1.2, 1.0]), max_steps=3, throw=False)
    assert solution.result == optx.RESULTS.nonlinear_max_steps_reached
    assert solution.stats["num_steps"] == 3
    assert rosenbrock(solution.value, None) < rosenbrock(jnp.array([-1.2, 1.0]), None)
    with pytest.raises(RuntimeError, match="maximum number of steps"):
        optx.minimise(rosenbrock, NEWTON, jnp.array([-1.2, 1.0]), max_steps=3)
    # A function without a minimum.
    solver = TrustRegionNewton(rtol=0.0)
    solution = optx.minimise(lambda y, _: y, solver, jnp.array(0.0), max_steps=50, throw=False)
    assert solution.result == optx.RESULTS.nonlinear_max_steps_reached


def test_auxiliary_output_is_that_of_the_returned_point():
    def fn(y, scale):
        value = scale * rosenbrock(y, None)
        return value, {"value": value, "y": y, "count": jnp.array(3), "none": None}

    solution = optx.minimise(fn, NEWTON, jnp.array([-1.2, 1.0]), jnp.array(2.0), has_aux=True)
    np.testing.assert_array_equal(solution.aux["y"], solution.value)
    np.testing.assert_allclose(solution.aux["value"], fn(solution.value, 2.0)[0], atol=1e-30)
    assert solution.aux["count"] == 3
    assert solution.aux["none"] is None


def test_jit_and_vmap_over_starts():
    def solve(start):
        solution = optx.minimise(rosenbrock, NEWTON, start, throw=False)
        return solution.value, solution.stats["num_steps"], solution.result

    starts = jnp.array([[-1.2, 1.0], [1.0, 1.0], [2.0, -3.0], [0.0, 0.0]])
    values, steps, results = jax.jit(jax.vmap(solve))(starts)
    assert np.all(results == optx.RESULTS.successful)
    np.testing.assert_allclose(values, np.ones((4, 2)), atol=1e-9)
    single = jax.jit(solve)
    loop = [int(single(start)[1]) for start in starts]
    # Members of a batch stop in their own time: at once at the minimum.
    assert steps.tolist() == loop
    assert loop[1] == 1
    assert len(set(loop)) > 2


def test_derivative_of_the_minimum_by_optimistix():
    # y* = cube root of a: the implicit adjoint of `minimise` works with ours as with any other.
    def minimum(a):
        return optx.minimise(lambda y, a: y**4 / 4 - a * y, NEWTON, jnp.array(1.0), args=a).value

    np.testing.assert_allclose(jax.jit(jax.grad(minimum))(8.0), 1 / 12, rtol=1e-8)


def test_float32():
    # Gradients are exact to 1e-7 of their terms, here of size 400, and second derivatives 800.
    solver = TrustRegionNewton(rtol=0.0, atol=1e-5)
    start = jnp.array([-1.2, 1.0], jnp.float32)
    solution = optx.minimise(rosenbrock, solver, start)
    assert solution.value.dtype == jnp.float32
    assert solution.result == optx.RESULTS.successful
    assert np.max(np.abs(scaled_gradient(rosenbrock, solution.value))) <= 2e-5
    # The smallest eigenvalue there is 0.4.
    np.testing.assert_allclose(solution.value, np.ones(2), atol=1e-3)


def test_more_parameters_than_columns_of_a_block():
    # Columns of the Hessian come in blocks of 16; 20 parameters take two blocks of ten.
    scale = jnp.arange(1.0, 21.0)

    def fn(y, args):
        del args
        return jnp.sum(scale * (jnp.cosh(y - 1) - 1)) + 0.5 * jnp.sum(y - 1) ** 2

    for size in (16, 17, 20):
        scale = jnp.arange(1.0, size + 1.0)
        solution = optx.minimise(fn, NEWTON, jnp.zeros(size))
        assert solution.result == optx.RESULTS.successful
        assert solution.stats["num_steps"] <= 12
        np.testing.assert_allclose(solution.value, np.ones(size), atol=1e-9)
