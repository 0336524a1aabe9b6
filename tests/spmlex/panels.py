"""Panels that the tests share."""

from pathlib import Path

import numpy as np
import pandas as pd

PUBLISHED = Path(__file__).parents[1] / "fixtures" / "panel"


def published(name: str) -> pd.DataFrame:
    """Data of a paper; see the README there."""
    return pd.read_csv(PUBLISHED / f"{name}.csv")


def unbalanced(seed: int = 0, num_units: int = 40) -> pd.DataFrame:
    """Two to five years of each unit, in no order, outcomes of every family, one regressor text.

    The rows are labelled r0, r1, ….
    """
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, 6, num_units)
    unit = np.repeat(np.arange(num_units), lengths)
    frame = pd.DataFrame({"unit": unit, "year": 2000 + np.concatenate([*map(np.arange, lengths)])})
    num = len(frame)
    frame["x"] = rng.normal(size=num)
    frame["w"] = rng.normal(size=num)
    frame["region"] = rng.choice(["north", "south", "west"], num)
    frame["months"] = rng.integers(6, 13, num)
    effect = rng.choice([-0.8, 0.7], num_units)[unit]
    index = effect + 0.5 * frame["x"]
    frame["wage"] = index + 0.4 * rng.normal(size=num)
    frame["union"] = (index + rng.logistic(size=num) > 0).astype(int)
    frame["visits"] = rng.poisson(np.exp(index))
    frame["grade"] = np.digitize(index + rng.logistic(size=num), [-1.0, 0.5])
    frame["spell"] = rng.exponential(np.exp(-index))
    frame["ended"] = rng.integers(0, 2, num)
    frame["trials"] = rng.integers(1, 9, num)
    frame["passed"] = rng.binomial(frame["trials"], 1 / (1 + np.exp(-index)))
    frame["size"] = rng.uniform(0.5, 2.0, num_units)[unit].round(3)
    frame["town"] = np.array(["a", "b", "c", "d"])[unit % 4]
    frame.index = [f"r{k}" for k in range(num)]
    return frame.sample(frac=1.0, random_state=seed)


def choices(seed: int = 0, num_units: int = 200, num_trips: int = 4) -> pd.DataFrame:
    """Trips by car, bus or train; units differ in what a price means to them."""
    rng = np.random.default_rng(seed)
    modes = np.array(["bus", "car", "train"])
    shape = (num_units, num_trips, 3)
    price = rng.uniform(0.5, 2.0, shape)
    income = np.broadcast_to(rng.normal(size=num_units)[:, None, None], shape)
    slope = rng.choice([-2.0, -0.5], num_units)[:, None, None]
    constant = np.array([0.0, 0.6, 0.2])
    utility = slope * price + constant + income * np.array([0.0, 0.5, 0.0])
    chosen = np.argmax(utility + rng.gumbel(size=shape), axis=-1)
    unit, trip, mode = np.indices(shape)
    return pd.DataFrame(
        {
            "person": unit.ravel(),
            "trip": trip.ravel(),
            "mode": modes[mode.ravel()],
            "price": price.ravel(),
            "income": income.ravel(),
            "taken": (mode == chosen[..., None]).astype(int).ravel(),
        }
    )
