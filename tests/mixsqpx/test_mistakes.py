"""Wrong use with valid numbers: each says what is meant, and nothing is said of what is right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .helpers import annotations_off, plant

N, M = 40, 12
GOOD = plant(1, N, M, 4)


@pytest.fixture(autouse=True)
def _annotations_off():
    with annotations_off():
        yield


@pytest.mark.parametrize("scale", [1.0, 1e-3, 50.0])
def test_likelihoods_in_place_of_their_logarithms(scale):
    import mixsqpx

    lik = scale * np.exp(GOOD.log_lik)
    with pytest.warns(UserWarning, match=r"`log_lik` is zero or positive.*jnp.log\(L\)") as caught:
        mixsqpx.mixsolve(lik)
    assert len(caught) == 1
    # A start that holds zeros, and one that underflowed.
    with pytest.warns(UserWarning, match="`log_lik` is zero or positive"):
        mixsqpx.mixsolve(np.where(lik < np.median(lik), 0.0, lik))


def test_logarithms_are_not_taken_for_likelihoods():
    import mixsqpx

    # Warnings are errors here. One negative entry is enough, in a row that is not looked at first
    # too; a matrix of zeros says nothing; after a row's maximum is taken off none is positive.
    late = np.ones((2500, 2))
    late[2401] = [-0.5, 1.0]
    shifted = GOOD.log_lik - GOOD.log_lik.max(axis=1, keepdims=True)
    for log_lik in (GOOD.log_lik, shifted, late, np.zeros((5, 3))):
        assert mixsqpx.mixsolve(log_lik).result == mixsqpx.RESULTS.successful
    # Under jit the numbers are not known, and nothing is said.
    jax.jit(lambda lik: mixsqpx.mixsolve(lik).probs)(np.exp(GOOD.log_lik))


def test_a_tolerance_below_rounding():
    import mixsqpx

    low = jnp.asarray(GOOD.log_lik, jnp.float32)
    with pytest.warns(UserWarning, match="`gap_tol` is 1.0e-10, below the rounding of float32"):
        solution = mixsqpx.mixsolve(low, solver=mixsqpx.MixSQP(gap_tol=1e-10), throw=False)
    assert "float32" in str(solution)
    mixsqpx.mixsolve(low)
    mixsqpx.mixsolve(low, solver=mixsqpx.MixSQP(gap_tol=1e-6))
    mixsqpx.mixsolve(GOOD.log_lik, solver=mixsqpx.MixSQP(gap_tol=1e-10))


def test_the_x64_mode_that_was_forgotten(monkeypatch):
    from mixsqpx import _mistakes

    class Off:
        jax_enable_x64 = False

    monkeypatch.setattr(_mistakes.jax, "config", Off)
    low = jnp.asarray(GOOD.log_lik, jnp.float32)
    with pytest.warns(UserWarning, match='given in float64.*jax.config.update."jax_enable_x64"'):
        _mistakes.warn_of_tolerance(1e-10, low, GOOD.log_lik)
    with pytest.warns(UserWarning, match="Use float64, or a larger `gap_tol`"):
        _mistakes.warn_of_tolerance(1e-10, low, np.asarray(low))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("log", r"no argument `log`.*holds logarithms.*jnp.log\(L\)"),
        ("x0", "no argument `x0`.*are called `init`"),
        ("w", "no argument `w`.*are called `weights`"),
        ("L", "no argument `L`.*is called `log_lik`"),
        ("control", r"no argument `control`.*solver=MixSQP\(.*`max_steps`"),
        ("tol", r"no argument `tol`.*solver=MixSQP\(gap_tol="),
        ("gap_tol", r"no argument `gap_tol`.*solver=MixSQP\(gap_tol="),
        ("maxiter", "no argument `maxiter`.*`max_steps`"),
    ],
)
def test_names_of_arguments_from_elsewhere(name, says):
    import mixsqpx

    with pytest.raises(TypeError, match=says):
        mixsqpx.mixsolve(GOOD.log_lik, **{name: False})  # pyright: ignore
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        mixsqpx.mixsolve(GOOD.log_lik, nonsense=1)  # pyright: ignore


def test_a_transposed_matrix_and_swapped_vectors():
    import mixsqpx

    start = np.full(M, 1 / M)
    with pytest.raises(ValueError, match="`weights` must.*component is `init`.*transposed"):
        mixsqpx.mixsolve(GOOD.log_lik, start)
    with pytest.raises(ValueError, match="`init` must.*unit are `weights`.*transposed"):
        mixsqpx.mixsolve(GOOD.log_lik, init=GOOD.weights)
    with pytest.raises(ValueError, match="`weights` must.*transposed"):
        mixsqpx.mixsolve(GOOD.log_lik.T, GOOD.weights)
    with pytest.raises(ValueError, match="`probs` must.*unit are `weights`.*transposed"):
        mixsqpx.objective(jnp.asarray(GOOD.log_lik), jnp.ones(N))
    with pytest.raises(ValueError, match="sum to one. Divide it by its sum.*units are `weights`"):
        mixsqpx.mixsolve(GOOD.log_lik, init=np.ones(M))


def test_em_without_options():
    import mixsqpx

    # A problem on which it takes 12 thousand steps, as many as any in the tests.
    log_lik = mixsqpx.datasets.scale_mixture(jax.random.key(0), 500, 30)[2]
    solution = mixsqpx.mixsolve(log_lik, solver=mixsqpx.EM())
    assert solution.result == mixsqpx.RESULTS.successful
    assert int(solution.stats["num_steps"]) > 1000
    assert float(mixsqpx.optimality_gap(log_lik, solution.probs)) <= 1e-4


def batch(*faulty):
    import mixsqpx

    log_lik = np.stack([GOOD.log_lik] * 4)
    for member in faulty:
        log_lik[member, 7, 3] = np.nan
    return log_lik, jax.vmap(lambda ell: mixsqpx.mixsolve(ell, throw=False))(jnp.asarray(log_lik))


def test_a_batch_is_printed_in_a_line():
    good = str(batch()[1])
    assert good.startswith(
        "Batch of 4 mixtures of 12 components, 4 converged, to an optimality gap"
    )
    assert good.endswith("float64")
    some = str(batch(2, 3)[1])
    assert "4 mixtures of 12 components, 2 converged" in some
    assert "FAILED, member 2 the first: `log_lik` holds NaN" in some
    assert "0 converged" in str(batch(0, 1, 2, 3)[1])


def test_the_member_of_a_batch_is_named():
    import mixsqpx

    log_lik, solution = batch(2)
    says = r"Member 2 of the batch.*`log_lik` holds NaN.*unit at fault: 7"
    args = solution.result, solution.stats["unit"], solution.gap
    with pytest.raises(ValueError, match=says):
        mixsqpx.raise_on_failure(solution.probs, *args)
    solve = jax.jit(jax.vmap(lambda ell: mixsqpx.mixsolve(ell).probs))
    with pytest.raises(jax.errors.JaxRuntimeError, match=f"(?s){says}"):
        jax.block_until_ready(solve(jnp.asarray(log_lik)))
    fine = batch()[1]
    args = fine.result, fine.stats["unit"], fine.gap
    np.testing.assert_array_equal(mixsqpx.raise_on_failure(fine.probs, *args), fine.probs)


def test_a_quotient_of_nothing_by_nothing_has_a_derivative():
    import mixsqpx

    log_lik = jnp.asarray(GOOD.log_lik)

    def spread(log_lik):
        # Where a proportion is zero this is 0/0 at one of the two branches, and its derivative NaN.
        probs = mixsqpx.mixsolve(log_lik, GOOD.weights).probs
        return jnp.sum(jnp.where(probs > 0, probs * probs / probs, 0.0) * jnp.arange(1.0 * M))

    def expected(log_lik):
        return jnp.sum(mixsqpx.mixsolve(log_lik, GOOD.weights).probs * jnp.arange(1.0 * M))

    found = jax.grad(spread)(log_lik)
    # Of numbers of size one, over curvatures of 0.01.
    np.testing.assert_allclose(found, jax.grad(expected)(log_lik), atol=1e-12)
    assert np.max(np.abs(found)) > 1e-3
