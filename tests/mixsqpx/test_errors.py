"""Bad input: a clear error, or a result code and NaN, and never a plausible number."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import annotations_off, check_solved, plant, rounding

N, M = 40, 12
GOOD = plant(1, N, M, 4)
INIT = np.full(M, 1 / M)


@pytest.fixture(autouse=True)
def _annotations_off():
    with annotations_off():
        yield


def changed(array, where, value):
    array = np.array(array)
    array[where] = value
    return array


def faults():
    """Arguments, the result, what the message has to say, and the first unit at fault."""
    ell, weights = GOOD.log_lik, GOOD.weights
    two = changed(changed(ell, (5, 3), np.nan), (9, 1), np.inf)
    one_dead = changed(ell, 7, -np.inf)
    dead_and_nan = changed(one_dead, (9, 1), np.nan)
    no_init, negative_init = changed(INIT, 0, 0.5), changed(INIT, [0, 1], [-0.1, 2 / M + 0.1])
    return {
        "nan": (changed(ell, (5, 3), np.nan), weights, INIT, "invalid_log_lik", "`log_lik`", 5),
        "inf": (changed(ell, (0, 0), np.inf), weights, INIT, "invalid_log_lik", "`log_lik`", 0),
        "all_nan": (np.full((N, M), np.nan), weights, INIT, "invalid_log_lik", "`log_lik`", 0),
        "first_of_two": (two, weights, INIT, "invalid_log_lik", "`log_lik`", 5),
        "last_unit": (changed(ell, (N - 1, M - 1), np.nan), weights, INIT, "invalid_log_lik",
                      "`log_lik`", N - 1),
        "no_likelihood": (one_dead, weights, INIT, "zero_likelihood", "unit", 7),
        "no_likelihood_anywhere": (np.full((N, M), -np.inf), weights, INIT, "zero_likelihood",
                                   "unit", 0),
        "nan_goes_first": (dead_and_nan, weights, INIT, "invalid_log_lik", "`log_lik`", 9),
        "inf_in_a_dead_row": (changed(one_dead, (7, 2), np.inf), weights, INIT, "invalid_log_lik",
                              "`log_lik`", 7),
        "nan_in_a_dead_row": (changed(one_dead, (7, 2), np.nan), weights, INIT, "invalid_log_lik",
                              "`log_lik`", 7),
        "negative_weight": (ell, changed(weights, 3, -1e-9), INIT, "invalid_weights",
                            "`weights`", 3),
        "nan_weight": (ell, changed(weights, 4, np.nan), INIT, "invalid_weights", "`weights`", 4),
        "inf_weight": (ell, changed(weights, 6, np.inf), INIT, "invalid_weights", "`weights`", 6),
        "minus_inf_weight": (ell, changed(weights, 2, -np.inf), INIT, "invalid_weights",
                             "`weights`", 2),
        "all_negative": (ell, -weights, INIT, "invalid_weights", "`weights`", 0),
        "no_weight": (ell, np.zeros(N), INIT, "zero_weights", "`weights`", -1),
        "init_sum": (ell, weights, no_init, "infeasible_init", "`init`", -1),
        "init_negative": (ell, weights, negative_init, "infeasible_init", "`init`", -1),
        "init_nan": (ell, weights, changed(INIT, 2, np.nan), "infeasible_init", "`init`", -1),
        "init_inf": (ell, weights, changed(INIT, 2, np.inf), "infeasible_init", "`init`", -1),
        "init_zero": (ell, weights, np.zeros(M), "infeasible_init", "`init`", -1),
        "init_unnormalised": (ell, weights, np.ones(M), "infeasible_init", "`init`", -1),
    }  # fmt: skip


def solve(log_lik, weights, init, **kwargs):
    import mixsqpx

    return mixsqpx.mixsolve(log_lik, weights, init=init, **kwargs)


@cache
def compiled():
    """Compiled once each: throwing; throwing, and not, under `vmap`; with one matrix for all."""
    return (
        jax.jit(lambda *args: solve(*args).probs),
        jax.jit(jax.vmap(lambda *args: solve(*args).probs)),
        jax.jit(jax.vmap(lambda *args: solve(*args, throw=False))),
        jax.jit(jax.vmap(lambda *args: solve(*args, None, throw=False), (None, 0))),
    )


def check_nan(solution, result, unit):
    import mixsqpx

    assert solution.result == getattr(mixsqpx.RESULTS, result)
    assert int(solution.stats["unit"]) == unit
    for part in (solution.probs, solution.objective, solution.gap, solution.gradient):
        assert np.all(np.isnan(part))


@pytest.mark.parametrize("name", faults())
def test_faulty_numbers(name):
    import mixsqpx

    *args, result, says, unit = faults()[name]
    message = mixsqpx.RESULTS[getattr(mixsqpx.RESULTS, result)]
    assert says in message
    with pytest.raises(ValueError, match="^`|^A unit") as caught:
        solve(*args)
    assert message in str(caught.value)
    where = f"unit at fault: {unit} "
    assert (where in str(caught.value)) == (unit >= 0)
    check_nan(solve(*args, throw=False), result, unit)
    # Under jit the same text comes out of JAX's error.
    with pytest.raises(jax.errors.JaxRuntimeError) as caught:
        jax.block_until_ready(compiled()[0](*args))
    assert message in str(caught.value)
    assert (where in str(caught.value)) == (unit >= 0)


def stack(*members):
    return tuple(jnp.stack(parts) for parts in zip(*members, strict=True))


@pytest.mark.parametrize(
    "name", ["nan", "no_likelihood", "negative_weight", "no_weight", "init_sum"]
)
def test_one_bad_member_under_vmap(name):
    import mixsqpx

    *args, result, _, unit = faults()[name]
    good = (GOOD.log_lik, GOOD.weights, INIT)
    members = stack(good, args, good)
    batch = compiled()[2](*members)
    check_nan(jax.tree.map(lambda x: x[1], batch), result, unit)
    for i in (0, 2):
        alone = solve(*good)
        member = jax.tree.map(lambda x, i=i: x[i], batch)
        check_solved(GOOD.log_lik, GOOD.weights, member)
        np.testing.assert_allclose(member.probs, alone.probs, rtol=0, atol=1e-12)
    message = mixsqpx.RESULTS[getattr(mixsqpx.RESULTS, result)]
    with pytest.raises(jax.errors.JaxRuntimeError) as caught:
        jax.block_until_ready(compiled()[1](*members))
    assert message in str(caught.value)
    members = stack(good, good, good)
    assert np.all(np.isfinite(compiled()[1](*members)))


@pytest.mark.parametrize("name", ["negative_weight", "nan_weight", "inf_weight", "no_weight"])
def test_one_bad_weighting_of_a_shared_matrix(name):
    _, bad, _, result, _, unit = faults()[name]
    weights = jnp.stack([jnp.asarray(GOOD.weights), jnp.asarray(bad), jnp.ones(N)])
    batch = compiled()[3](GOOD.log_lik, weights)
    check_nan(jax.tree.map(lambda x: x[1], batch), result, unit)
    for i in (0, 2):
        check_solved(GOOD.log_lik, weights[i], jax.tree.map(lambda x, i=i: x[i], batch))


@pytest.mark.parametrize("shape", [(40, 12), (400, 30)])
def test_a_unit_of_nan_alone_is_not_called_one_without_likelihood(shape):
    # Of a larger matrix XLA's maximum of such a row is -inf on CPU.
    import mixsqpx

    ell = np.random.default_rng(5).normal(size=shape)
    for value, says in ((np.nan, "holds NaN"), (-np.inf, "zero likelihood")):
        with pytest.raises(ValueError, match=rf"(?s){says}.* unit at fault: 3 "):
            mixsqpx.mixsolve(jnp.asarray(ell).at[3].set(value))


@cache
def gradients(output, *, throw):
    """Of one of the outputs, in data and weights."""

    def of(log_lik, weights):
        return jnp.sum(getattr(solve(log_lik, weights, None, throw=throw), output))

    return jax.jit(jax.grad(of, argnums=(0, 1)))


@pytest.mark.parametrize("name", ["nan", "negative_weight"])
def test_no_derivative_of_what_is_not_there(name):
    log_lik, weights, *_ = faults()[name]
    for output in ("probs", "objective"):
        by_log_lik, by_weights = gradients(output, throw=False)(log_lik, weights)
        assert np.all(np.isnan(by_log_lik[:5]))
        assert np.all(np.isnan(by_weights))
        # Of what is there it is the same as with `throw`.
        args = (GOOD.log_lik, GOOD.weights)
        found, expected = (gradients(output, throw=throw)(*args) for throw in (False, True))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=rounding(N, M))


def test_errors_of_a_gradient():
    *args, _, _, _ = faults()["nan"]

    def objective(log_lik):
        return solve(log_lik, *args[1:]).objective

    with pytest.raises(ValueError, match="`log_lik` holds NaN.* unit at fault: 5 "):
        jax.grad(objective)(args[0])
    with pytest.raises(jax.errors.JaxRuntimeError, match="`log_lik` holds NaN"):
        jax.block_until_ready(jax.jit(jax.grad(objective))(args[0]))


def test_what_is_no_fault():
    # Zero weights of either sign, on units that could not be used; a start off by rounding; huge
    # and tiny weights.
    ell = changed(changed(GOOD.log_lik, 0, np.nan), 1, -np.inf)
    weights = changed(GOOD.weights, [0, 1], [0.0, -0.0])
    check_solved(ell, weights, solve(ell, weights, INIT * (1 + 1e-12)))
    for scale in (1e300, 1e-300):
        check_solved(GOOD.log_lik, GOOD.weights, solve(GOOD.log_lik, scale * GOOD.weights, INIT))
    # A start that was rounded to single precision.
    check_solved(GOOD.log_lik, None, solve(GOOD.log_lik, None, jnp.asarray(INIT, jnp.float32)))


# ---- what is known without looking at a number ---------------------------------------------------


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((np.zeros(M), None, None), r"`log_lik` must be a matrix.*\(12,\)"),
        ((np.zeros((2, N, M)), None, None), r"`log_lik` must be a matrix.*\(2, 40, 12\)"),
        ((1.0, None, None), r"`log_lik` must be a matrix.*\(\)"),
        ((np.zeros((0, M)), None, None), r"`log_lik` is empty.*\(0, 12\)"),
        ((np.zeros((N, 0)), None, None), r"`log_lik` is empty.*\(40, 0\)"),
        ((GOOD.log_lik, np.ones(N + 1), None), r"`weights` .*\(40,\).*\(41,\)"),
        ((GOOD.log_lik, np.ones(M), None), r"`weights` .*\(40,\).*\(12,\)"),
        ((GOOD.log_lik, np.ones((N, 1)), None), r"`weights` .*\(40,\).*\(40, 1\)"),
        ((GOOD.log_lik, 1.0, None), r"`weights` .*\(40,\).*\(\)"),
        ((GOOD.log_lik, None, np.ones(N) / N), r"`init` .*\(12,\).*\(40,\)"),
        ((GOOD.log_lik, None, INIT[:, None]), r"`init` .*\(12,\).*\(12, 1\)"),
    ],
)
def test_wrong_shapes(args, says):
    with pytest.raises(ValueError, match=says):
        solve(*args)
    with pytest.raises(ValueError, match=says):  # shapes are known under jit
        jax.jit(solve)(*args)
    with pytest.raises(ValueError, match=says):
        solve(*args, throw=False)


NOT_REAL = ["abc", {}, object(), [[1.0, 2.0], [3.0]], np.array([["x", "y"]])]


@pytest.mark.parametrize("bad", [*NOT_REAL, 1j * np.ones((N, M))])
def test_log_lik_that_is_no_real_matrix(bad):
    with pytest.raises(TypeError, match="`log_lik`"):
        solve(bad, None, None)


@pytest.mark.parametrize("bad", [*NOT_REAL, 1j * np.ones(N)])
def test_weights_and_init_that_are_no_real_vectors(bad):
    with pytest.raises(TypeError, match="`weights`"):
        solve(GOOD.log_lik, bad, None)
    with pytest.raises(TypeError, match="`init`"):
        solve(GOOD.log_lik, None, bad)


@pytest.mark.parametrize("piece", ["objective", "optimality_gap", "hessian", "posterior"])
def test_pieces_check_shapes(piece):
    import mixsqpx

    function = getattr(mixsqpx, piece)
    with pytest.raises(ValueError, match=r"`log_lik` must be a matrix"):
        function(jnp.zeros(M), jnp.asarray(INIT))
    with pytest.raises(ValueError, match=r"`probs` .*\(12,\).*\(40,\)"):
        function(jnp.asarray(GOOD.log_lik), jnp.ones(N))
    with pytest.raises(ValueError, match=r"`weights` .*\(40,\).*\(12,\)"):
        function(jnp.asarray(GOOD.log_lik), jnp.asarray(INIT), jnp.ones(M))
    with pytest.raises(TypeError, match="`probs`"):
        function(jnp.asarray(GOOD.log_lik), "abc")


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "5"])
def test_max_steps_that_is_no_count(bad):
    with pytest.raises(ValueError, match="`max_steps` must be a positive integer"):
        solve(GOOD.log_lik, None, None, max_steps=bad)


def test_solver_that_is_none():
    import mixsqpx

    for bad in ("MixSQP", mixsqpx.MixSQP, None):
        with pytest.raises(TypeError, match="`solver`"):
            solve(GOOD.log_lik, None, None, solver=bad)
