"""Tastes in two dimensions: a random-coefficient logit
====================================================

People differ in how much they like a product, and in how much its price
bothers them. Can the joint distribution of the two be estimated?

Person i buys in situation t if

    a_i + b_i price_it + γ quality_it + e_it > 0,   e_it logistic.

The mixed logit of textbooks takes (a, b) to be normal. Fox, Kim, Ryan &
Bajari (2011), Quantitative Economics 2, 381-418, put masses on a fixed
grid, by least squares; here the masses maximise the likelihood, together
with γ. The data are simulated: two types of people, who like the product
much or little, and of whom the first look at prices more.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Array, Float

import spmlex

jax.config.update("jax_enable_x64", True)

# %%
# Data
# ----
# Four hundred people, in ten situations each. Within each type tastes vary
# too, so that the truth is not on the grid.
rng = np.random.default_rng(0)
eager = rng.uniform(size=(400, 1)) < 0.4
a = np.where(eager, 2.5, -0.5) + 0.2 * rng.normal(size=(400, 1))
b = np.where(eager, -2.0, -0.5) + 0.2 * rng.normal(size=(400, 1))
price, quality = rng.normal(size=(2, 400, 10))
utility = a + b * price + 0.8 * quality + rng.logistic(size=(400, 10))
data = {"buys": 1.0 * (utility > 0), "price": price, "quality": quality}

# %%
# Model
# -----
# With several coordinates the support points are a dict of arrays, or an
# array with a row a point.


class Logit(eqx.Module):
    gamma: Float[Array, ""]

    def lclk(
        self, data: dict[str, Array], supp: dict[str, Array]
    ) -> Float[Array, "n m"]:
        common = self.gamma * data["quality"]
        a, b = supp["level"], supp["price"]
        index = a[None, None, :] + data["price"][:, :, None] * b
        sign = (2 * data["buys"] - 1)[:, :, None]
        at = sign * (common[:, :, None] + index)
        return jnp.sum(jax.nn.log_sigmoid(at), axis=1)

    def sample(
        self, key: Array, data: dict[str, Array], latent: dict[str, Array]
    ) -> dict[str, Array]:
        """Purchases of people with given tastes."""
        index = (
            latent["level"][:, None]
            + data["price"] * (latent["price"][:, None])
        )
        index = index + self.gamma * data["quality"]
        drawn = jax.random.logistic(key, index.shape) < index
        return data | {"buys": drawn.astype(index.dtype)}


supp = spmlex.product_grid(
    {"level": np.linspace(-3, 6, 19), "price": np.linspace(-5, 1, 19)}
)
result = spmlex.fit(Logit(jnp.zeros(())), data, supp)
print(result)

# %%
# A question of policy
# --------------------
# What would a higher price do to sales? `average` integrates over the
# estimated distribution. The true answer is known here.


def sales(
    model: Logit, data: dict[str, Array], supp: dict[str, Array]
) -> Float[Array, "n m"]:
    """Change of each person's sales as all prices rise by a half."""
    a, b = supp["level"][None, None, :], supp["price"][None, None, :]
    price = data["price"][:, :, None]
    common = a + model.gamma * data["quality"][:, :, None]
    after = jax.nn.sigmoid(common + b * (price + 0.5))
    return jnp.mean(after - jax.nn.sigmoid(common + b * price), axis=1)


change = result.average(sales, kind="robust")
common = a + 0.8 * quality
true = jax.nn.sigmoid(common + b * (price + 0.5))
true = np.mean(true - jax.nn.sigmoid(common + b * price))
print(f"change of sales {change.value:.4f} ({change.std_errors:.4f})")
print(f"truth           {true:.4f}")

# %%
# The distribution
# ----------------
# Masses are where the two types are. They are few and scattered, as is the
# way of nonparametric maximum likelihood: a cloud of tastes is stood for by
# some points. Averages over it, as above, are estimated much better than
# its shape.
figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
axes[0].plot(a, b, ".", ms=3, color="#ddaa33", label="people (truth)")
result.plot_distribution(ax=axes[0])
axes[0].set(xlabel="Liking a", ylabel="Response to price b")
axes[0].legend(loc="upper right", fontsize="small")
labels = {"level": "Liking a", "price": "Response to price b"}
for ax, name, true in zip(axes[1:], labels, (a, b), strict=True):
    at = np.sort(true.ravel())
    ax.plot(
        at, np.arange(1, 401) / 400, color="#ddaa33", lw=4, label="truth"
    )
    result.plot_distribution(coordinate=name, ax=ax)
    ax.set_xlabel(labels[name])
plt.show()
