"""What is public, and that each thing can be asked for in one way."""

import inspect

import pytest

import spmlex

# What needs no fit, or several of them; and what these return.
FUNCTIONS = {"compare", "fit", "fit_multistart", "fit_orthogonal", "likelihood_ratio_test", "load"}
FUNCTIONS |= {"plot_coefficients", "product_grid", "profile_ll"}
CLASSES = {
    "Bootstrap",
    "Estimate",
    "FitResult",
    "FunctionModel",
    "Functional",
    "LikelihoodRatio",
    "MultistartResult",
    "Orthogonal",
    "OrthogonalResult",
    "ProfileInterval",
    "RESULTS",
    "ScoreTest",
    "SingularInformationError",
    "Table",
    "TrustRegionNewton",
    "WaldTest",
}
# What is asked of one fit.
METHODS = {
    "average",
    "bootstrap",
    "conf_int",
    "cov",
    "delta",
    "grid_gap",
    "hessian",
    "num_free",
    "orthogonal",
    "plot_distribution",
    "plot_gradient",
    "plot_history",
    "plot_profile",
    "posterior",
    "posterior_mean",
    "posterior_mode",
    "posterior_quantile",
    "profile_curve",
    "profile_interval",
    "quantile",
    "sample_latent",
    "save",
    "scores",
    "simulate",
    "std_errors",
    "summary",
}
PROPERTIES = {"aic", "bic", "estimates", "param_names"}


def test_names_of_the_package():
    assert set(spmlex.__all__) == FUNCTIONS | CLASSES
    assert all(inspect.isfunction(getattr(spmlex, name)) for name in FUNCTIONS)
    assert all(inspect.isclass(getattr(spmlex, name)) for name in CLASSES - {"RESULTS"})


def test_names_of_a_fit():
    public = dict(inspect.getmembers(spmlex.FitResult))
    public = {name: member for name, member in public.items() if not name.startswith("_")}
    fields = set(spmlex.FitResult.__dataclass_fields__)
    assert {n for n, m in public.items() if isinstance(m, property)} == PROPERTIES
    assert set(public) - fields - PROPERTIES == METHODS
    assert not METHODS & set(spmlex.__all__)


@pytest.mark.parametrize("name", sorted(METHODS | {"aic", "bic"}))
def test_a_method_is_described_where_it_is_bound(name):
    member = getattr(spmlex.FitResult, name)
    function = member.fget if isinstance(member, property) else member
    described = inspect.getdoc(function)
    assert described
    assert len(described.splitlines()[0]) > 20
    named = [p for p in inspect.signature(function).parameters if p != "result"]
    assert all(parameter in described for parameter in named)
