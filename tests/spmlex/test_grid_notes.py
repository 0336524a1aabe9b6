"""What a table says of the ends of a grid, of its coarseness, and of grids of integers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import poisson

from spmlex import FunctionModel, fit, profile_ll

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = RNG.poisson(np.exp(RNG.choice([-0.5, 0.8], (60, 1)) + 0.3 * X)).astype(float)
Y[:9] = 0.0


def counts(params, data, supp):
    index = supp[None, :, None] + params["beta"] * data["x"][:, None, :]
    return jnp.sum(poisson.logpmf(data["y"][:, None, :], jnp.exp(index)), axis=-1)


def normal(params, data, supp):
    return -2.0 * (data[:, None] - supp[None, :] - params["beta"]) ** 2


def model(function):
    return FunctionModel({"beta": jnp.array(0.1)}, function)


@pytest.mark.parametrize("start", [-4.0, -10.0])
def test_mass_at_an_end_that_the_data_do_not_place(start):
    data, supp = {"x": X, "y": Y}, jnp.linspace(start, 2.0, 40)
    result = fit(model(counts), data, supp)
    # The posterior mean of a unit without any count: -2.0 and -3.9.
    assert result.posterior_mean()[0] < start / 3
    note, _ = result.summary().notes  # the last is on the standard errors
    assert note.startswith(
        f"Mass {float(result.probs[0]):.2g} is at the first grid point, {start:g}"
    )
    assert "how far out it belongs the data do not say" in note
    # The number: all of that mass as far out as the grid is wide.
    far = 2 * start - 2
    assert f"at {far:.4g} the log-likelihood would be" in note
    moved, _ = profile_ll(result.model, data, supp.at[0].set(far))
    said = note.split("would be ")[1].split(" only")[0].split(" by ")
    change = float(said[1]) * (1 if said[0] == "higher" else -1)
    # There the masses are optimal anew, which gains more, but little; the note has two digits.
    least = change - 0.05 * abs(change) - 1e-9
    assert least <= -60 * float(moved) - result.loglik <= change + 0.01


def test_mass_at_an_end_that_the_data_place():
    # A tenth of the units are at the last point, and no further.
    data = np.where(np.arange(200) < 20, 2.0, -1.0) + 0.5 * RNG.normal(size=200)
    supp = jnp.linspace(-3.0, 2.0, 11)
    held = FunctionModel({"beta": jnp.array(0.0)}, normal)
    result = fit(held, data - np.mean(data[:20]) + 2.0, supp)
    assert result.probs[-1] > 0.05
    assert "grid point" not in str(result)


def test_nothing_is_said_where_the_model_ends():
    def positive(params, data, supp):
        return jnp.where(supp[None, :] >= -4.0, counts(params, data, supp), jnp.nan)

    result = fit(model(positive), {"x": X, "y": Y}, jnp.linspace(-4.0, 2.0, 25))
    assert result.probs[0] > 1e-3
    assert len(result.summary().notes) == 1  # on the standard errors


@pytest.mark.slow  # several fits, of shapes of their own
def test_the_coarse_note_of_a_grid_of_integers():
    data = 3.0 * RNG.normal(size=80)

    def sharp(params, data, supp):
        return -50.0 * (data[:, None] - supp[None, :] - params["beta"]) ** 2

    with jax.numpy_dtype_promotion("standard"):  # as users have it
        notes = [
            fit(model(sharp), data, grid).summary().notes
            for grid in (jnp.arange(-9, 10), jnp.arange(-9.0, 10.0))
        ]
    assert notes[0] == notes[1]
    (note,) = (note for note in notes[0] if "coarse" in note)
    # In nats of the whole, and no more than if each unit had its own point half-way.
    said = float(note.split("could add up to ")[1].split()[0])
    result = fit(model(sharp), data, jnp.arange(-9.0, 10.0))
    finer = jnp.arange(-9.0, 9.6, 0.5)
    best = np.max(np.asarray(sharp(result.model.params, data, finer)), axis=1)
    assert 0 < said <= (np.sum(best) - result.loglik) * 1.005  # of three digits
    finest, _ = profile_ll(result.model, data, finer)
    assert said >= (-80 * float(finest) - result.loglik) * 0.995


def test_a_model_that_looks_up_by_integers():
    table = jnp.array([-1.0, 0.0, 1.0])

    def lookup(params, data, supp):
        return normal(params, data, table[supp])

    result = fit(model(lookup), RNG.normal(size=50), jnp.arange(3))
    assert len(result.summary().notes) == 1  # on the standard errors
