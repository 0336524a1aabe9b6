"""A model made of a function and its parameters."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, PyTree


class FunctionModel(eqx.Module):
    """A model for those who write functions rather than classes.

    Attributes
    ----------
    params : PyTree
        The parameters, such as a dict of arrays.
    function : Callable
        `function(params, data, supp) -> (n, m)`, the log conditional likelihood of each unit at
        each support point; see `profile_ll`. Compiled code is kept by function: define it once.
    coef_names : mapping of str to names, optional
        What tables call the entries of an array, by its name in `params`: those of
        `{"beta": ["educ", "union"]}` are `educ` and `union`, and not `beta[0]` and `beta[1]`. A
        class of your own has an attribute, or a property, of this name.
    sampler : Callable, optional
        `sampler(params, key, data, latent)`, which returns `data` with outcomes drawn for each unit
        given its latent variable: for `simulate` and `fit_orthogonal`.
    lister : Callable, optional
        `lister(params, data)`, which returns `data` for each possible outcome of a unit, on a new
        leading axis: for `fit_orthogonal`, in place of draws.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, spmlex
    >>> def lclk(params, data, supp):
    ...     return jax.scipy.stats.norm.logpdf(data[:, None], params["slope"] * supp[None, :])
    >>> model = spmlex.FunctionModel({"slope": jnp.array(1.0)}, lclk)
    >>> value, probs = spmlex.profile_ll(model, jnp.array([0.0, 1.0]), jnp.array([-1.0, 1.0]))
    """

    params: PyTree
    function: Callable[[Any, Any, Any], Array] = eqx.field(static=True)
    sampler: Callable[[Any, Array, Any, Any], Any] | None = eqx.field(static=True)
    lister: Callable[[Any, Any], Any] | None = eqx.field(static=True)
    _coef_names: tuple[tuple[str, Any], ...] = eqx.field(static=True)

    def __init__(
        self,
        params: PyTree,
        function: Callable[[Any, Any, Any], Array],
        coef_names: Mapping[str, str | Sequence[Any]] | None = None,
        sampler: Callable[[Any, Array, Any, Any], Any] | None = None,
        lister: Callable[[Any, Any], Any] | None = None,
    ):
        """Keep them; names are made hashable, as programs are kept by what is not an array."""
        self.params = params
        self.function = function
        self.sampler, self.lister = sampler, lister
        self._coef_names = tuple(
            (name, tuple(np.ravel(np.asarray(entries, object)).tolist()))
            for name, entries in (coef_names or {}).items()
        )

    @property
    def coef_names(self) -> dict[str, tuple[str, ...]]:
        """Names of the entries of arrays of `params`."""
        return dict(self._coef_names)

    def lclk(self, data: PyTree, supp: PyTree) -> Float[Array, "n m"]:
        """Log conditional likelihoods, by `function`."""
        return self.function(self.params, data, supp)

    @property
    def sample(self) -> Callable[[Array, Any, Any], Any] | None:
        """Draws of outcomes, by `sampler`; None without it."""
        return None if self.sampler is None else partial(self.sampler, self.params)

    @property
    def all_outcomes(self) -> Callable[[Any], Any] | None:
        """All outcomes, by `lister`; None without it."""
        return None if self.lister is None else partial(self.lister, self.params)
