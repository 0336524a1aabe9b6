"""What a fit returns."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from ._function_model import FunctionModel
from ._model import leaf_name
from ._search import Problem
from ._solution import RESULTS


class FitResult(eqx.Module):
    """Estimates of a model and of the distribution of its heterogeneity. `print` shows a table.

    Attributes
    ----------
    model : PyTree
        The model at the estimates.
    params : PyTree
        The part of the model that was estimated; None in place of the rest.
    probs : Float[Array, "m"], or Float[Array, "m g"] with groups
        Estimated masses at the support points.
    supp : PyTree
        The support points.
    loglik : float
        Maximised log-likelihood in nats: the sum over the units, each times its weight.
    n_obs : int
        Number of units n.
    grad_norm : float
        Largest entry of the gradient of the mean profile log-likelihood.
    gap : float
        The mean log-likelihood is below its maximum over the distributions, at these parameters, by
        at most this many nats.
    result : RESULTS
        How the search ended.
    stats : dict
        `num_steps` of the minimiser, `num_active` support points, and the name of the `minimiser`.
    history : dict of str to numpy arrays
        One entry for each step: `value`, `grad_norm` (NaN if the minimiser does not keep a
        gradient), `gap` and `num_active` at the iterate after the step, and `step`, the largest
        change of a parameter: zero for a rejected trial.
    problem : Problem or None
        What was fitted besides the free parameters: the held part of the model, data, support,
        weights, groups and the solver of the inner problem. None after loading without the data.
    """

    model: Any
    params: PyTree
    probs: Float[Array, "m *g"]
    supp: PyTree
    loglik: float
    n_obs: int
    grad_norm: float
    gap: float
    result: RESULTS
    stats: dict[str, Any]
    history: dict[str, np.ndarray]
    problem: Problem | None

    @property
    def param_names(self) -> tuple[str, ...]:
        """Name of each estimated scalar: its path in the model, with its index in its array."""
        is_function = isinstance(self.params, FunctionModel)
        params = self.params.params if is_function else self.params
        names = []
        for path, leaf in jax.tree_util.tree_leaves_with_path(params):
            name = leaf_name(path) if path or not is_function else "params"
            names += (
                [name]
                if leaf.ndim == 0
                else [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(leaf.shape)]
            )
        return tuple(names)

    @property
    def estimates(self) -> np.ndarray:
        """Estimated scalars, in the order of `param_names`."""
        leaves = jax.tree.leaves(self.params)
        return np.concatenate([np.ravel(leaf) for leaf in leaves])

    def __str__(self) -> str:
        ok = bool(self.result == RESULTS.successful)
        header = [
            ("Units", f"{self.n_obs}"),
            ("Log-likelihood", f"{self.loglik:.6f}"),
            ("Support points", f"{self.probs.shape[0]}"),
            ("of them active", f"{self.stats['num_active']}"),
            ("Optimality gap", f"{self.gap:.1e}"),
            ("Gradient norm", f"{self.grad_norm:.1e}"),
            ("Iterations", f"{self.stats['num_steps']}"),
            ("Converged", "yes" if ok else "NO"),
        ]
        names = self.param_names
        width = max([9, *map(len, names)])
        total = max(width + 16, 58)
        lines = ["Profile likelihood estimates".center(total).rstrip(), "=" * total]
        for (left, x), (right, y) in zip(header[::2], header[1::2], strict=True):
            half = total // 2 - 1
            lines.append(f"{left:<15}{x:>{half - 15}}  {right:<15}{y:>{total - half - 17}}")
        lines += ["-" * total, f"{'':<{width}}{'estimate':>16}", "-" * total]
        lines += [
            f"{name:<{width}}{value:>16.6f}"
            for name, value in zip(names, self.estimates, strict=True)
        ]
        return "\n".join([*lines, "=" * total])
