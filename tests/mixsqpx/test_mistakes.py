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


@pytest.mark.parametrize("name", ["MixSQP", "EM"])
@pytest.mark.parametrize("gap_tol", [0.0, -1.0, np.nan, "1e-8"])
def test_a_tolerance_that_no_gap_can_meet(name, gap_tol):
    import mixsqpx

    with pytest.raises(ValueError, match="`gap_tol` must be a positive number or None, but it is"):
        getattr(mixsqpx, name)(gap_tol=gap_tol)


PIECES = ("objective", "optimality_gap", "hessian", "posterior")
EQUAL = np.full(M, 1 / M)


@pytest.mark.parametrize("name", PIECES)
@pytest.mark.parametrize(
    ("probs", "says"),
    [
        (2 * EQUAL, "it sums to 2. Heights of a density become masses by the widths"),
        (np.where(np.arange(M) == 3, np.nan, EQUAL), "it holds NaN or infinity"),
        (EQUAL - 0.1 * np.eye(M)[7], r"entry 7 \(counting from zero\) is -0.0167"),
    ],
)
def test_what_are_no_proportions(name, probs, says):
    import mixsqpx

    piece = getattr(mixsqpx, name)
    with pytest.warns(UserWarning, match=f"^`probs` is not a vector of proportions: {says}") as one:
        piece(jnp.asarray(GOOD.log_lik), jnp.asarray(probs))
    assert len(one) == 1


def test_what_are_proportions_but_for_rounding():
    import mixsqpx

    # Warnings are errors here. Nothing is said of single precision, nor of what is not known.
    log_lik = jnp.asarray(GOOD.log_lik)
    for probs in (
        EQUAL.astype(np.float32),
        EQUAL * (1 + 1e-6),
        np.append(-1e-9, EQUAL[1:] * 12 / 11),
    ):
        assert np.isfinite(mixsqpx.optimality_gap(log_lik, jnp.asarray(probs)))
    jax.jit(mixsqpx.objective)(log_lik, jnp.asarray(2 * EQUAL))


@pytest.mark.parametrize("name", PIECES)
def test_the_pieces_take_no_likelihoods_and_no_negative_weights(name):
    import mixsqpx

    piece, probs = getattr(mixsqpx, name), jnp.asarray(EQUAL)
    with pytest.warns(UserWarning, match=r"`log_lik` is zero or positive.*jnp.log\(L\)") as caught:
        piece(jnp.exp(GOOD.log_lik), probs)
    assert len(caught) == 1
    weights = jnp.ones(N).at[5].set(-1.0)
    with pytest.raises(ValueError, match="`weights` holds a negative.*unit at fault: 5"):
        piece(jnp.asarray(GOOD.log_lik), probs, weights)
    with pytest.raises(ValueError, match="`weights` holds a negative or non-finite"):
        piece(jnp.asarray(GOOD.log_lik), probs, weights.at[5].set(jnp.inf))
    with pytest.raises(ValueError, match="`weights` are all zero"):
        piece(jnp.asarray(GOOD.log_lik), probs, jnp.zeros(N))


@pytest.mark.parametrize("se", [0.0, np.nan])
def test_a_standard_error_that_is_zero_or_missing(se):
    import mixsqpx

    x, width = np.linspace(-1.0, 1.0, N), np.ones(N)
    width[4] = se
    with np.errstate(all="ignore"):
        square = (x[:, None] ** 2 + np.zeros((1, 2))) / width[:, None] ** 2
        log_lik = -0.5 * square - np.log(width)[:, None]
    says = "missing value, or a standard error of zero, makes them NaN.*unit at fault: 4"
    with pytest.raises(ValueError, match=says):
        mixsqpx.mixsolve(np.where(np.isinf(log_lik) & (se == 0), np.nan, log_lik))


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
        ("maxiter_sqp", "no argument `maxiter_sqp`.*`max_steps`"),
        ("maxiter.sqp", "no argument `maxiter.sqp`.*`max_steps`"),
        ("convtol.sqp", r"no argument `convtol.sqp`.*solver=MixSQP\(gap_tol="),
        ("rtol", r"no argument `rtol`.*solver=MixSQP\(gap_tol="),
        ("eps", "no argument `eps`.*Nothing is added"),
        ("verbose", r"no argument `verbose`.*`print\(solution\)`"),
        ("weight", "no argument `weight`.*are called `weights`"),
        ("prior", "no argument `prior`.*weight α - 1"),
        ("nullweight", "no argument `nullweight`.*Dirichlet"),
        ("mixsd", "no argument `mixsd`.*are in `log_lik`"),
        ("method", "no argument `method`.*are in `log_lik`"),
        ("d", "no argument `d`.*are masses"),
        ("hist", "no argument `hist`.*row of weight k"),
    ],
)
def test_names_of_arguments_from_elsewhere(name, says):
    import mixsqpx

    with pytest.raises(TypeError, match=says):
        mixsqpx.mixsolve(GOOD.log_lik, **{name: False})  # pyright: ignore
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        mixsqpx.mixsolve(GOOD.log_lik, nonsense=1)  # pyright: ignore


@pytest.mark.parametrize("solver", ["MixSQP", "EM"])
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("tol", "The tolerance is called `gap_tol`"),
        ("convtol.sqp", "The tolerance is called `gap_tol`"),
        ("maxiter", r"belongs to the solve: `mixsolve\(log_lik, max_steps="),
        ("max_steps", r"belongs to the solve: `mixsolve\(log_lik, max_steps="),
        ("eps", "Nothing is added"),
        ("verbose", r"`print\(solution\)`"),
    ],
)
def test_names_of_options_from_elsewhere(solver, name, says):
    import mixsqpx

    make = getattr(mixsqpx, solver)
    with pytest.raises(TypeError, match=f"`{solver}` has no argument `{name}`.*{says}"):
        make(**{name: 1})
    with pytest.raises(TypeError, match="unexpected keyword argument 'nonsense'"):
        make(nonsense=1)
    assert make(1e-3) == make(gap_tol=1e-3)


def test_a_start_by_its_place():
    import mixsqpx

    says = "`log_lik` and `weights` by their place.*proportions to start from are `init=`"
    with pytest.raises(TypeError, match=says):
        mixsqpx.mixsolve(GOOD.log_lik, GOOD.weights, EQUAL)  # pyright: ignore


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
    # Without vectors nothing is at odds: what is printed says which are the units.
    transposed = mixsqpx.mixsolve(GOOD.log_lik.T, throw=False)
    assert f"of {N} components for {M} units, objective" in str(transposed)
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
        "Batch of 4 mixtures of 12 components for 40 units each, 4 converged, to an optimality gap"
    )
    assert good.endswith("float64")
    some = str(batch(2, 3)[1])
    assert "4 mixtures of 12 components for 40 units each, 2 converged" in some
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
