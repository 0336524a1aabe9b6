"""A model made of a function and its parameters."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
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

    def lclk(self, data: PyTree, supp: PyTree) -> Float[Array, "n m"]:
        """Log conditional likelihoods, by `function`."""
        return self.function(self.params, data, supp)
