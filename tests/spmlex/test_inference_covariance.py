"""Covariances: conventions, errors, bootstrap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from .models import NUM_UNITS, Problem, UnitEffect, panel_problem

KINDS = ("hessian", "opg", "robust", "cluster")


@pytest.fixture(scope="module")
def weights():
    """Frequencies that sum to the number of units: repeated rows are a problem of one shape."""
    rng = np.random.default_rng(0)
    return np.bincount(rng.integers(0, NUM_UNITS, NUM_UNITS), minlength=NUM_UNITS).astype(float)


@pytest.fixture(scope="module")
def weighted(problem, weights):
    import spmlex

    return spmlex.fit(*problem, weights=weights)


def test_kinds_agree_roughly(result):
    errors = np.stack([result.std_errors(kind) for kind in KINDS[:3]])
    # The model is right: all estimate the same, with errors of some 1/sqrt(n) = 6%. Measured: 9%.
    np.testing.assert_allclose(errors / errors[0], 1.0, rtol=0, atol=0.15)
    for kind in KINDS[:3]:
        np.testing.assert_allclose(result.cov(kind), result.cov(kind).T, rtol=0, atol=1e-15)


def test_one_unit_a_cluster_is_robust(result, weighted):
    for fit in (result, weighted):
        labels = np.random.default_rng(1).permutation(NUM_UNITS) - 5
        expected = fit.cov("robust")
        np.testing.assert_allclose(fit.cov("cluster", labels), expected, rtol=1e-11)


def test_integer_weights_are_repeated_rows(problem, weights, weighted):
    import spmlex

    rows = np.repeat(np.arange(NUM_UNITS), weights.astype(int))
    repeated = spmlex.fit(problem.model, problem.data[rows], problem.supp)
    # Of the estimates: the gradients are below 1e-10, the curvatures above 0.1.
    np.testing.assert_allclose(repeated.estimates, weighted.estimates, rtol=0, atol=1e-8)
    np.testing.assert_allclose(repeated.loglik, weighted.loglik, rtol=1e-11)
    for kind in ("hessian", "opg"):
        np.testing.assert_allclose(repeated.cov(kind), weighted.cov(kind), rtol=1e-5)
    # A unit is one draw: its rows are one cluster.
    np.testing.assert_allclose(
        repeated.cov("cluster", rows), weighted.cov("robust"), rtol=1e-5, atol=1e-10
    )
    assert repeated.aic == pytest.approx(weighted.aic, rel=1e-10)
    assert repeated.bic == pytest.approx(weighted.bic, rel=1e-10)


def test_scale_of_weights(problem, weights, weighted):
    import spmlex

    scaled = spmlex.fit(*problem, weights=10 * weights)
    np.testing.assert_allclose(scaled.cov("robust"), weighted.cov("robust"), rtol=1e-6)
    np.testing.assert_allclose(10 * scaled.cov("hessian"), weighted.cov("hessian"), rtol=1e-6)


def test_intervals(result):
    errors, estimates = result.std_errors("robust"), result.estimates
    for level, multiple in ((0.95, 1.959963984540054), (0.9, 1.6448536269514722)):
        low, high = result.conf_int(level, "robust").T
        np.testing.assert_allclose(high - estimates, multiple * errors, rtol=1e-9)
        np.testing.assert_allclose(estimates - low, multiple * errors, rtol=1e-9)


@pytest.mark.parametrize(
    ("kind", "clusters", "message"),
    [
        ("hesse", None, "`kind` must be one of 'hessian', 'opg', 'robust', 'cluster'"),
        ("cluster", None, "`clusters` are needed"),
        ("robust", np.arange(NUM_UNITS), "`clusters` are for kind='cluster'"),
        ("cluster", np.arange(3), r"shape \(300,\), but its shape is \(3,\)"),
        ("cluster", np.full(NUM_UNITS, 4), "has the label 4 alone"),
    ],
)
def test_bad_kinds_and_clusters(result, kind, clusters, message):
    with pytest.raises(ValueError, match=message):
        result.cov(kind, clusters)


def test_clusters_without_weight_do_not_count(weights, weighted):
    assert (weights == 0).any()
    clusters = (weights == 0).astype(int)
    with pytest.raises(ValueError, match="has the label 0 alone among the units with weight"):
        weighted.cov("cluster", clusters)
    with pytest.raises(ValueError, match="has the label 0 alone among the units with weight"):
        weighted.bootstrap(jax.random.key(0), num=2, clusters=clusters)


def test_no_level(result):
    with pytest.raises(ValueError, match="`level` must be between 0 and 1"):
        result.conf_int(95.0)
    # The quantile of 1 - 5.6e-17, which is one in double precision.
    width = np.diff(result.conf_int(1 - 2.0**-53), axis=1)[:, 0]
    np.testing.assert_allclose(width / result.std_errors(), 2 * 8.29, rtol=0, atol=0.01)


def test_collinear_regressors_are_named():
    import spmlex

    model, data, supp = panel_problem(3)
    twice = {"x": data["x"][:, :, [0, 1, 0]], "y": data["y"]}
    start = UnitEffect(jnp.array([0.8, -0.4, 0.0]), model.log_sd)
    result = spmlex.fit(start, twice, supp)
    named = r"singular along 0\.71\*beta\[0\] - 0\.71\*beta\[2\]"
    with pytest.raises(spmlex.SingularInformationError, match=named):
        result.cov()
    with pytest.raises(spmlex.SingularInformationError, match="cross-products is singular along"):
        result.cov("opg")
    with pytest.raises(spmlex.SingularInformationError, match="units are too few for it"):
        result.delta(lambda model, probs: model.beta, kind="opg")


@pytest.mark.parametrize("seed", range(3))
def test_collinear_regressors_in_single_precision(seed):
    # Rounding leaves eigenvalues of 1e-7 and of either sign, which say nothing.
    import spmlex

    model, data, supp = panel_problem(seed)
    third = 0.3 * data["x"][:, :, :1] + 0.7 * data["x"][:, :, 1:]
    x = jnp.concatenate([data["x"], third], axis=2)
    problem = UnitEffect(jnp.array([0.8, -0.4, 0.0]), model.log_sd), {"x": x, "y": data["y"]}, supp
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), problem)
    result = spmlex.fit(*single)
    assert result.probs.dtype == jnp.float32
    for kind in ("hessian", "opg", "robust"):
        with pytest.raises(spmlex.SingularInformationError, match="is singular along"):
            result.cov(kind)


def test_indefinite_information_is_named():
    from spmlex._inference._covariance import SingularInformationError, invert

    matrix = np.array([[1.0, 2.0], [2.0, 1.0]])
    named = r"not positive definite along 0\.71\*a - 0\.71\*b"
    with pytest.raises(SingularInformationError, match=named):
        invert(matrix, ("a", "b"), np.float64)
    # The units of the parameters do not matter.
    scale = np.diag([1.0, 1e8])
    good = scale @ np.array([[2.0, 1.0], [1.0, 2.0]]) @ scale
    np.testing.assert_allclose(
        invert(good, ("a", "b"), np.float64) @ good, np.eye(2), rtol=0, atol=1e-7
    )
    with pytest.raises(SingularInformationError, match="not finite at b"):
        invert(np.array([[1.0, 0.0], [0.0, np.nan]]), ("a", "b"), np.float64)
    # A direction in which no parameter stands out.
    num = 450
    spread = num * np.eye(num) - np.ones((num, num))
    with pytest.raises(SingularInformationError, match=r"singular along 0\.05\*p0 .* and others"):
        invert(spread, tuple(f"p{k}" for k in range(num)), np.float64)


def test_no_standard_errors_without_an_optimum(problem):
    import spmlex

    stopped = spmlex.fit(*problem, max_steps=1, throw=False)
    with pytest.raises(RuntimeError, match="did not end at a stationary point"):
        stopped.cov()


@pytest.fixture(scope="module")
def replicated(result):

    return result.bootstrap(jax.random.PRNGKey(0), num=100)


def test_a_replication_is_a_weighted_fit(problem, result, replicated):
    import spmlex

    key = jax.random.split(jax.random.PRNGKey(0), 100)[3]
    weights = jax.random.exponential(key, (NUM_UNITS,), jnp.float64)
    refit = spmlex.fit(*problem, weights=weights)
    # The search stops at 1e-4 standard errors.
    off = np.abs(replicated.estimates[3] - refit.estimates) / result.std_errors()
    assert off.max() <= 1e-4
    assert np.abs(refit.estimates - result.estimates).max() >= 1e-2


def test_bootstrap_spread_and_intervals(result, replicated):
    assert replicated.num_failed == 0
    assert replicated.estimates.shape == (100, 5)
    # 100 replications: standard errors are known to 1/sqrt(200) = 7%, beside 6% for the sample.
    ratio = replicated.std_errors / result.std_errors("robust")
    np.testing.assert_allclose(ratio, 1.0, rtol=0, atol=0.3)
    centre, errors = result.estimates, replicated.std_errors
    normal = replicated.conf_int(0.9, "normal")
    np.testing.assert_allclose(normal[:, 1], centre + 1.6448536 * errors, rtol=1e-7)
    low, high = replicated.conf_int(0.9).T
    assert (np.mean(replicated.estimates < low, axis=0) == 0.05).all()
    assert (np.mean(replicated.estimates > high, axis=0) == 0.05).all()
    with pytest.raises(ValueError, match="`kind` must be 'percentile' or 'normal'"):
        replicated.conf_int(0.9, "bca")


def test_bootstrap_table(result, replicated):
    table = replicated.summary(0.9)
    assert table.index == result.param_names
    assert table.columns == ("estimate", "std. err.", "[0.05", "0.95]")
    columns = np.stack(list(table.numbers.values()), axis=1)
    np.testing.assert_array_equal(columns[:, 0], replicated.estimate)
    np.testing.assert_array_equal(columns[:, 1], replicated.std_errors)
    np.testing.assert_array_equal(columns[:, 2:], replicated.conf_int(0.9))
    assert "100  of them failed" in str(replicated)
    assert all(name in str(replicated) for name in result.param_names)
    assert replicated._repr_html_() == replicated.summary()._repr_html_()


def test_bootstrap_of_clusters_and_by_counts(result, weighted):
    import spmlex

    key = jax.random.PRNGKey(1)
    clusters = np.arange(NUM_UNITS) // 3
    by_cluster = result.bootstrap(key, num=4, clusters=10 * clusters - 7)
    drawn = jax.random.exponential(jax.random.split(key, 4)[0], (100,), jnp.float64)
    refit = spmlex.fit(result.model, *_rest(result), weights=drawn[clusters])
    off = np.abs(by_cluster.estimates[0] - refit.estimates) / result.std_errors()
    assert off.max() <= 1e-4
    counts = weighted.bootstrap(key, num=4, scheme="multinomial")
    drawn = jax.random.randint(jax.random.split(key, 4)[0], (NUM_UNITS,), 0, NUM_UNITS)
    weights = np.bincount(np.asarray(drawn), minlength=NUM_UNITS)
    weights = weights * np.asarray(weighted.problem.weights)
    refit = spmlex.fit(weighted.model, *_rest(weighted), weights=weights)
    off = np.abs(counts.estimates[0] - refit.estimates) / weighted.std_errors()
    assert off.max() <= 1e-4


def test_what_the_quick_search_does_not_finish(result, monkeypatch):
    import spmlex
    from spmlex._inference import _bootstrap

    # None of it is left: the search of `fit` does everything. No other test compiles this case.
    monkeypatch.setattr(_bootstrap, "_MAX_QUICK_STEPS", 0)
    key = jax.random.PRNGKey(2)
    found = result.bootstrap(key, num=2, scheme="multinomial")
    assert found.num_failed == 0
    drawn = jax.random.randint(jax.random.split(key, 2)[0], (NUM_UNITS,), 0, NUM_UNITS)
    weights = np.bincount(np.asarray(drawn), minlength=NUM_UNITS).astype(float)
    refit = spmlex.fit(result.model, *_rest(result), weights=weights)
    # Gradients of 1e-8 and 1e-10 are far less than 1e-6 standard errors.
    off = np.abs(found.estimates[0] - refit.estimates) / result.std_errors()
    assert off.max() <= 1e-6


def _rest(result):
    return Problem(None, result.problem.data, result.supp)[1:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": 1}, "`num` must be an integer of at least 2"),
        ({"scheme": "wild"}, "`scheme` must be one of 'exponential', 'multinomial'"),
        ({"clusters": np.zeros(NUM_UNITS, int)}, "has the label 0 alone"),
    ],
)
def test_bad_bootstrap(result, options, message):

    with pytest.raises(ValueError, match=message):
        result.bootstrap(jax.random.PRNGKey(0), **options)


def test_a_seed_is_no_key(result, without_annotations):
    with pytest.raises(TypeError, match=r"`key` must be a key such as `jax.random.key\(0\)`"):
        result.bootstrap(0)
