"""Arguments by the names of other programs: a call with one of them says what is meant."""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def _by_name(texts: Mapping[tuple[str, ...], str]) -> dict[str, str]:
    return {name: text for names, text in texts.items() for name in names}


_TOLERANCES = ("tol", "rtol", "convtol_sqp")
_LIMITS = ("maxiter", "maxiter_sqp")
_FOR_BOTH = {
    ("eps",): "Nothing is added to the likelihoods: `log_lik` is used as it is.",
    ("verbose", "verb"): "Nothing is printed on the way; `print(solution)` says how it ended.",
}

OF_A_SOLVE = _by_name(
    {
        ("L", "A"): "The matrix is called `log_lik`, and holds logarithms: for likelihoods L "
        "`jnp.log(L)`.",
        ("log",): "The matrix always holds logarithms: for likelihoods L write "
        "`mixsolve(jnp.log(L))`.",
        ("w", "weight"): "The weights of the units are called `weights`.",
        ("x0", "pi_init"): "Proportions to start from are called `init`.",
        ("control",): "Options belong to the solver: `solver=MixSQP(gap_tol=1e-8)`; the limit on "
        "its steps is `max_steps`.",
        ("gap_tol", *_TOLERANCES): "The tolerance belongs to the solver: "
        "`solver=MixSQP(gap_tol=1e-8)`.",
        _LIMITS: "The limit on the solver's steps is called `max_steps`.",
        ("d",): "There are no widths: `probs` are masses, not heights of a density.",
        ("hist",): "Nothing is binned: a value that comes up k times is one row of weight k.",
        ("prior", "nullweight"): "A Dirichlet prior is more rows of `log_lik`: for a component of "
        "parameter α > 1 one of weight α - 1, 0 at the component and -inf elsewhere.",
        ("df", "gridmult", "method", "mixcompdist", "mixsd", "mode", "pointmass"): "Components "
        "and the density of the data are in `log_lik`, which is yours to compute.",
        **_FOR_BOTH,
    }
)
"""For `mixsolve`: what stands for arguments of R's mixsqp, ashr and REBayes, and usual names."""

OF_BLOCKS = OF_A_SOLVE | _by_name(
    {
        ("max_steps", *_LIMITS): "A step takes a pass over the rows, and the limit on these is "
        "`max_passes`.",
        ("verbose", "verb"): "`progress=True` shows how far it is.",
    }
)
"""For `mixsolve_blocks`."""

OF_A_SOLVER = _by_name(
    {
        _TOLERANCES: "The tolerance is called `gap_tol`.",
        ("max_steps", *_LIMITS): "The limit on the steps belongs to the solve: "
        "`mixsolve(log_lik, max_steps=100)`.",
        **_FOR_BOTH,
    }
)
"""The same for the options of a solver."""


def explain_names(called: str, given: Iterable[str], meant: Mapping[str, str]) -> None:
    """Raise for a name that stands for something else. The dots of names in R are underscores."""
    for name in given:
        text = meant.get(name.replace(".", "_"))
        if text is not None:
            raise TypeError(f"`{called}` has no argument `{name}`. {text}")


def explain_arguments(
    called: str, meant: Mapping[str, str]
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Decorator of a solve: a call as of another program raises, and says what is meant."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @wraps(function)
        def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
            explain_names(called, kwargs, meant)
            if len(args) > 2:
                raise TypeError(
                    f"`{called}` takes `log_lik` and `weights` by their place, and all else by "
                    "name: proportions to start from are `init=`, a solver is `solver=`."
                )
            return function(*args, **kwargs)

        return wrapped

    return decorate
