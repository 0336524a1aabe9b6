"""Does progabide reduce seizures? Counts with a random effect
===========================================================

Fifty-nine people with epilepsy counted their seizures over four periods
of two weeks; 31 of them took progabide. Does it help, and does the answer
lean on a normal distribution of how ill people are?

The data are those of Thall & Vail (1990), Biometrics 46, 657-671, as in
``epil`` of R's MASS. The usual model is Poisson with a normal random
effect: Breslow & Clayton (1993), "Approximate inference in generalized
linear mixed models", Journal of the American Statistical Association 88,
9-25, has log baseline count, treatment, their product, log age and the
fourth visit.
"""

import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jax.scipy.special import gammaln, logsumexp
from jaxtyping import Array, Float

import spmlex

jax.config.update("jax_enable_x64", True)

# %%
# Data
# ----
# One row a person. Log baseline and log age are centred, as in MASS; only
# the fourth visit varies within people.
path = Path(sys.argv[0]).resolve().parent / "data" / "epilepsy.csv"
table = np.loadtxt(path, delimiter=",", skiprows=2)
_, treated, base, age, *visits = table.T
log_base = np.log(base / 4) - np.mean(np.log(base / 4))
log_age = np.log(age) - np.mean(np.log(age))
columns = [log_base, treated, log_base * treated, log_age]
x = np.zeros((59, 4, 5))
x[:, :, :4] = np.stack(columns, axis=-1)[:, None, :]
x[:, 3, 4] = 1.0
data = {"y": np.stack(visits, axis=-1), "x": x}
NAMES = ["log baseline", "progabide", "their product", "log age", "visit 4"]

# %%
# Models
# ------
# Counts are Poisson with mean exp(x'β + v). ``sample`` draws new counts,
# for the orthogonal estimates.


class Poisson(eqx.Module):
    beta: Float[Array, " k"]

    def lclk(
        self, data: dict[str, Array], supp: Float[Array, " m"]
    ) -> Float[Array, "n m"]:
        index, y = data["x"] @ self.beta, data["y"]
        total = jnp.sum(y, axis=1)[:, None]
        rate = jnp.sum(jnp.exp(index), axis=1)[:, None]
        own = jnp.sum(y * index - gammaln(y + 1), axis=1)[:, None]
        return own + total * supp[None, :] - rate * jnp.exp(supp)[None, :]

    def sample(
        self, key: Array, data: dict[str, Array], latent: Float[Array, " n"]
    ) -> dict[str, Array]:
        rate = jnp.exp(data["x"] @ self.beta + latent[:, None])
        drawn = jax.random.poisson(key, rate)
        return data | {"y": drawn.astype(data["y"].dtype)}


# Counts of up to 302 a person have a narrow likelihood: equal steps are
# better than the wide ones of Gauss and Hermite.
NODES = np.linspace(-6.0, 6.0, 301)
LOG_WEIGHTS = -0.5 * NODES**2 - logsumexp(-0.5 * NODES**2)


class NormalPoisson(Poisson):
    """The effect is normal, and integrated out by quadrature."""

    mean: Float[Array, ""]
    log_std: Float[Array, ""]

    def lclk(
        self, data: dict[str, Array], supp: Float[Array, " m"]
    ) -> Float[Array, "n m"]:
        v = self.mean + jnp.exp(self.log_std) * NODES
        joint = super().lclk(data, v) + LOG_WEIGHTS
        return logsumexp(joint, axis=1, keepdims=True)


start = NormalPoisson(jnp.zeros(5), jnp.ones(()), jnp.zeros(()))
normal = spmlex.fit(start, data, jnp.zeros(1))
start = Poisson(normal.model.beta)
free = spmlex.fit(start, data, jnp.linspace(-1, 5, 61))
orthogonal = free.orthogonal(jax.random.key(0))

# %%
# Estimates
# ---------
# Breslow & Clayton's are, in that order, 0.87, −0.91, 0.33, 0.47 and
# −0.16, with a standard deviation of the effect of 0.53. They do not
# centre the baseline: at its mean of 1.77 their effect of progabide is
# −0.91 + 1.77 × 0.33 = −0.33.
print(f"{'':<16}{'normal':>16}{'free':>16}{'orthogonal':>16}")
fits = (normal, free, orthogonal)
for k, name in enumerate(NAMES):
    cells = [
        f"{fit.estimates[k]:.3f} ({fit.std_errors()[k]:.3f})"
        for fit in fits
    ]
    print(f"{name:<16}" + "".join(f"{cell:>16}" for cell in cells))
print(f"{'log-likelihood':<16}{normal.loglik:>16.2f}{free.loglik:>16.2f}")
print(f"std. dev. of a normal effect {np.exp(normal.model.log_std):.3f}")

# %%
# With a normal effect ours are within 0.02 of the published estimates,
# which maximise an approximation of this likelihood.
#
# A free distribution raises the likelihood by seven nats, and its standard
# errors must not be believed here: four of the five regressors do not vary
# within people, and the distribution bends to them. In
# :doc:`simulations of this design </benchmarks/coverage>` such intervals
# cover about half of what they say.
#
# The orthogonal estimates are not bent. At the mean baseline progabide has
# e^−0.35, or seven tenths, of the seizures, two and a half standard errors
# from none, and the normal model says the same: the answer does not lean
# on normality. The interval of the fourth visit is longer than the normal
# model has it, as counts of one person vary more than Poisson counts do.
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.8), layout="constrained"
)
spmlex.plot_coefficients(
    {"normal": normal, "free": free, "orthogonal": orthogonal},
    params={f"beta[{k}]": name for k, name in enumerate(NAMES)},
    ax=left,
)
left.set_xlabel("Effect on the log of the mean count, 95% interval")

mean, std = float(normal.model.mean), float(np.exp(normal.model.log_std))
v = np.linspace(0, 3.5, 201)
cdf = jax.scipy.stats.norm.cdf(v, mean, std)
right.plot(v, cdf, color="#bb5566", lw=4, alpha=0.5, label="normal")
free.plot_distribution(ax=right)
right.set(xlim=(0, 3.5), xlabel="Effect v (log seizures in two weeks)")
plt.show()
