"""A certificate for somebody else's solution
==========================================

A solver says "converged to optimal solution". Is it?

For mixture proportions there is a test that needs no solver. Write u_i for
the likelihood of unit i under proportions p, and a_ij for that under
component j. Whatever p is, its objective f is above the minimum by at most

    gap = log max_j mean_i a_ij / u_i,

with the maximum over *all* components (Lindsay, 1983, Annals of Statistics
11, 86-94). Here it is taken of a solution of R's mixsqp (Kim, Carbonetto,
Stephens & Anitescu, 2020, Journal of Computational and Graphical
Statistics 29, 261-273), which looks at the components in the mixture
alone.
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.scipy.stats import norm

import mixsqpx

jax.config.update("jax_enable_x64", True)

# %%
# R's solution
# ------------
# The problem is one of the repository's reference cases, so that this runs
# in a clone of it: 2000 measurements z, and normal components with means on
# a grid of 200 points. R ran with its default settings; x is what it
# returned.
fixtures = (
    Path(sys.argv[0]).resolve().parents[2] / "tests" / "fixtures" / "mixsqp"
)
case = json.loads((fixtures / "location_2000x200.json").read_text())
z, grid = (np.array(case["recipe"][name]) for name in ("z", "support"))
found = case["runs"]["default"]
x = jnp.array(found["x"])
print(found["status"], f"(largest dual residual {found['max_rdual']:.0e})")

# %%
# Its certificate
# ---------------
log_lik = norm.logpdf(z[:, None], grid[None, :])
gap = mixsqpx.optimality_gap(log_lik, x)
print(f"gap of R's x   {gap:.1e}")
print(f"in nats of the log-likelihood, at most {2000 * gap:.2f}")

solution = mixsqpx.mixsolve(log_lik)
print(f"gap of ours    {solution.gap:.1e}")
short = mixsqpx.objective(log_lik, x) - solution.objective
print(f"R is short by  {short:.1e}, or {2000 * short:.2f} nats")

# %%
# The bound holds, by a factor of nine, and cost two products of a matrix
# and a vector. It is in the units of the log-likelihood, so that it says
# what it means: beside a likelihood ratio of two nats what is missing here
# is little; in derivatives by differences it would be everything.
#
# The gradient function shows where. It is zero at the components of the
# mixture, and should be negative nowhere. Where it is, mass is missing.
gradients = {
    "R": 1 + jax.grad(mixsqpx.objective, argnums=1)(log_lik, x),
    "mixsqpx": solution.gradient,
}
figure, axes = plt.subplots(
    2, 2, figsize=(9, 5), layout="constrained", sharex=True
)
looks = {"R": ("#bb5566", x), "mixsqpx": ("#004488", solution.probs)}
for column, (name, (colour, probs)) in zip(
    axes.T, looks.items(), strict=True
):
    mass, gradient = column
    mass.vlines(grid, 0, probs, color=colour)
    mass.set(title=name, ylabel="Proportion")
    gradient.axhline(0.0, color="0.6", lw=0.8)
    gradient.plot(grid, gradients[name], color=colour)
    below = np.minimum(gradients[name], 0.0)
    gradient.fill_between(grid, below, color=colour, alpha=0.4)
    gradient.set(xlabel="Mean of the component", ylim=(-6e-4, 12e-4))
    gradient.set_ylabel("Gradient function")
plt.show()
