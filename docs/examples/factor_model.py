"""A factor whose distribution is not assumed
==========================================

Three outcomes measure one latent factor. Can loadings, noise and the
distribution of the factor all be estimated without saying what that
distribution is?

Unit i has a factor Xᵢ and three outcomes

    Y_it = λ_t X_i + e_it,   e_it normal with standard deviation σ_t,

where λ₁ = 1 sets the scale of X. The estimator is that of Bunting, Diegert
& Maurel (2024), arXiv 2402.08575. The data are simulated, with X one of
−3, 0 and 5, so that the estimates can be held against the truth.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float

import spmlex

# %%
# The packages follow the precision they are given; likelihoods deserve
# double precision. The second line gives all versions of JAX the same
# draws.
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)

# %%
# The model
# ---------
# A model is the log-likelihood of each unit at each support point of the
# latent variable. Its floating-point arrays are the parameters.


class FactorModel(eqx.Module):
    coef: Float[Array, "2"]  # the second and third loading
    log_std_e: Float[Array, "3"]

    def lclk(
        self, data: Float[Array, "n 3"], supp: Float[Array, " m"]
    ) -> Float[Array, "n m"]:
        mean = supp[:, None] * jnp.concatenate([jnp.ones(1), self.coef])
        z = (data[:, None, :] - mean[None, :, :]) / jnp.exp(self.log_std_e)
        # The constant is that of one outcome: none moves the estimates.
        constant = jnp.sum(self.log_std_e) + 0.5 * jnp.log(2 * jnp.pi)
        return -0.5 * jnp.sum(z**2, axis=-1) - constant


# %%
# Two thousand units, and a start some way off the truth.
LOADINGS, LOG_STD_E = np.array([1.0, 1.5, 0.3]), np.array([0.0, 0.2, -0.3])
POINTS, MASSES = np.array([-3.0, 0.0, 5.0]), np.array([0.3, 0.5, 0.2])

key, subkey = jax.random.split(jax.random.PRNGKey(0))
x = POINTS[jax.random.choice(subkey, 3, (2000,), p=jnp.array(MASSES))]
key, subkey = jax.random.split(key)
data = x[:, None] * LOADINGS + jax.random.normal(
    subkey, (2000, 3)
) * np.exp(LOG_STD_E)

key, subkey = jax.random.split(jax.random.PRNGKey(101))
coef = jax.random.normal(subkey, (2,)) + 1
key, subkey = jax.random.split(key)
start = FactorModel(coef, 0.2 * jax.random.normal(subkey, (3,)))

# %%
# Estimation
# ----------
# The distribution is free on 75 points between −6 and 6. `fit` maximises
# the likelihood over the parameters and the masses at these points.
result = spmlex.fit(start, data, jnp.linspace(-6, 6, 75))
print(result)

# %%
# Held against the truth. Three independent implementations agree on
# loadings of 1.511956 and 0.300690, on variances of 1.000690, 1.410154 and
# 0.549627, and on a mean negative log-likelihood of 3.34668032. So does
# this one.
truth = np.concatenate([LOADINGS[1:], LOG_STD_E])
print(f"{'parameter':<18}{'estimate':>12}{'truth':>12}\n{'-' * 42}")
rows = zip(result.param_names, result.estimates, truth, strict=True)
for name, estimate, true in rows:
    print(f"{name:<18}{estimate:>12.6f}{true:>12.4f}")
variances = np.exp(2 * np.asarray(result.model.log_std_e))
print("variances", variances.round(6))
print(f"mean negative log-likelihood {-result.loglik / 2000:.8f}")

assert np.allclose(result.model.coef, [1.511956, 0.300690], atol=1e-5)
assert np.allclose(variances, [1.000690, 1.410154, 0.549627], atol=1e-5)

# %%
# The distribution
# ----------------
# Of a point between those of the grid, several next to it have mass. The
# estimated distribution function is the true one, but for that.
#
# Below it is the certificate: the gradient function of Lindsay (1983),
# the slope of the mean negative log-likelihood as mass moves to a point.
# A distribution is the maximum-likelihood one if, and only if, that slope
# is negative nowhere; it is then zero wherever there is mass.
figure, (above, below) = plt.subplots(
    2, sharex=True, figsize=(7, 6), layout="constrained"
)
edges, levels = [-7.0, *POINTS, 7.0], [0.0, *np.cumsum(MASSES), 1.0]
above.step(
    edges,
    levels,
    where="post",
    color="#ddaa33",
    lw=5,
    alpha=0.6,
    label="truth",
)
result.plot_distribution(ax=above)
above.set(title="The distribution of the factor is recovered", xlabel="")
result.plot_gradient(ax=below)
below.set(
    title="Its certificate: nowhere below zero",
    xlabel="Factor (units of the first outcome)",
)

print(
    f"below the maximum over distributions: at most {result.gap:.0e} nats"
)
plt.show()
