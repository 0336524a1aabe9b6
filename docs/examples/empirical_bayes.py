"""Many means at once: empirical Bayes with mixsqpx alone
======================================================

A thousand effects were each measured once, with noise. How should each be
estimated, knowing the other 999?

Robbins (1956) had the answer: estimate the distribution of the effects,
and take the posterior mean of each. By maximum likelihood (Kiefer &
Wolfowitz, 1956) that distribution is left free; Jiang & Zhang (2009),
Annals of Statistics 37, 1647-1684, show that its posterior means come as
close to those of an oracle, who knows the true distribution, as the sample
grows. Only :doc:`mixsqpx </reference/mixsqpx>` is needed.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.scipy.stats import norm

import mixsqpx

jax.config.update("jax_enable_x64", True)

# %%
# Normal means
# ------------
# The design of Johnstone & Silverman (2004), Annals of Statistics 32,
# 1594-1649: of 1000 effects 950 are zero and 50 are five.
effects = np.repeat([0.0, 5.0], [950, 50])
z = effects + np.random.default_rng(0).normal(size=1000)

# %%
# The log-likelihood of each measurement under each of 141 possible effects
# is all that the solver takes.
grid = np.linspace(-4.0, 10.0, 141)
log_lik = norm.logpdf(z[:, None], grid[None, :])
solution = mixsqpx.mixsolve(log_lik)
print(f"steps {solution.stats['num_steps']}, gap {solution.gap:.0e}")
print("   effect  mass")
for effect, mass in zip(grid, solution.probs, strict=True):
    if mass > 1e-6:
        print(f"{effect:>9.1f}  {mass:.4f}")

# %%
# The posterior mean of each effect, beside the measurement itself, the
# shrinkage of James & Stein (1961), and the oracle.


def posterior_mean(points, probs):
    at = norm.logpdf(z[:, None], points[None, :])
    return np.asarray(mixsqpx.posterior(at, probs) @ points)


estimates = {
    "measurement": z,
    "James-Stein": (1 - 998 / np.sum(z**2)) * z,
    "empirical Bayes": posterior_mean(jnp.array(grid), solution.probs),
    "oracle": posterior_mean(
        jnp.array([0.0, 5.0]), jnp.array([0.95, 0.05])
    ),
}
for name, estimate in estimates.items():
    error = np.sum((estimate - effects) ** 2)
    print(f"{name:<16} total squared error {error:8.1f}")

# %%
# Shrinking all by the same factor gains little: what is near zero should be
# shrunk much, and what is near five not at all. The free distribution finds
# that out, and loses little to the oracle.
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.6), layout="constrained"
)
order = np.argsort(z)
looks = {
    "oracle": {"color": "#ddaa33", "lw": 5, "alpha": 0.6},
    "James-Stein": {"color": "#bb5566", "ls": "--"},
    "empirical Bayes": {"color": "#004488"},
}
for name, look in looks.items():
    left.plot(z[order], estimates[name][order], label=name, **look)
left.set(xlabel="Measurement", ylabel="Estimate of the effect")
left.legend()

right.axhline(0.0, color="0.6", lw=0.8)
right.plot(grid, solution.gradient, color="#004488")
active = np.asarray(solution.probs) > 0
right.plot(
    grid[active],
    solution.gradient[active],
    "o",
    mfc="none",
    color="#004488",
    label="has mass",
)
right.set(xlabel="Effect", ylabel="Gradient function")
right.set_title("The certificate: nowhere below zero")
right.legend()
plt.show()

# %%
# Thumbtacks
# ----------
# Beckett & Diaconis (1994), Advances in Mathematics 103, 107-128, flipped
# 320 tacks nine times each. How does the probability of landing point up
# vary from tack to tack? Tacks with one count are one row, and their
# number is its weight.
prob, log_lik, weights = mixsqpx.datasets.thumbtacks()
solution = mixsqpx.mixsolve(log_lik, weights)
print(f"objective {solution.objective:.9f}, gap {solution.gap:.0e}")

shares = np.asarray(weights) / np.sum(weights)
fitted = np.exp(log_lik) @ solution.probs
up = np.arange(1, 10)

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.4), layout="constrained"
)
cdf = np.cumsum(solution.probs)
left.step(prob, cdf, where="post", color="#004488")
left.vlines(prob, 0, solution.probs, color="#004488", alpha=0.6)
left.set(xlabel="Probability of point up", ylabel="Probability")
left.set_title("Three kinds of tacks would do")
right.bar(up, shares, color="#ddaa33", label="observed")
right.plot(up, fitted, "o", color="#004488", label="fitted")
right.set(xlabel="Times point up, of nine", ylabel="Share of the tacks")
right.legend()
plt.show()

# %%
# R's mixsqp, whose data set this is, ends at the same proportions: the gap
# of its solution is 1.5e-8.
