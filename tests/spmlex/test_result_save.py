"""Results in files: read back by another process, and refused for another model or other data."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spmlex import FunctionModel, fit, load

from .models import (
    FactorModel,
    UnitEffect,
    duration_problem,
    factor_problem,
    level_and_slope_problem,
)

PROBLEM = factor_problem(200, 25)
LIKE_IT = FactorModel(jnp.zeros(2), jnp.zeros(3))
ROOT = Path(__file__).parents[2]


@cache
def fitted():
    return fit(*PROBLEM)


@pytest.fixture
def path(tmp_path):
    fitted().save(tmp_path / "factor.npz")
    return tmp_path / "factor.npz"


def without_data(result):
    return eqx.tree_at(lambda r: r.problem.data, result, None)


def test_another_process_reads_it(path):
    """Numbers to the last bit, and the same table from data made anew."""
    program = f"""
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)
import spmlex
from tests.spmlex.models import factor_problem
problem = factor_problem(200, 25)
result = spmlex.load({str(path)!r}, problem.model, data=problem.data)
print(*[float(x).hex() for x in (*result.estimates, *result.probs, result.loglik, result.gap)])
print(result)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    numbers, table = ran.stdout.split("\n", 1)
    result = fitted()
    expected = [*result.estimates, *result.probs, result.loglik, result.gap]
    assert numbers.split() == [float(x).hex() for x in expected]
    assert table.strip() == str(result).strip()


def test_all_is_there(path):
    read = load(path, LIKE_IT)
    assert read.problem.data is None
    assert eqx.tree_equal(read, without_data(fitted()))
    assert read.param_names == fitted().param_names
    assert read.plot_distribution().get_xlabel() == "Latent variable v"
    assert read.plot_history().get_xlabel() == "Iteration"


def test_no_pickle_and_a_version(path):
    with np.load(path, allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        np.testing.assert_array_equal(file["probs"], fitted().probs)
        np.testing.assert_array_equal(file["model/coef"], fitted().model.coef)
        assert not any("data" in name for name in file.files)
        arrays = {name: file[name] for name in file.files}
    assert header["format"] == 2
    later = {**arrays, "header": np.array(json.dumps({**header, "format": 3}))}
    np.savez(path, **later)
    with pytest.raises(ValueError, match="factor.npz' has format 3, but .* reads format 2"):
        load(path, LIKE_IT)


def test_what_looks_at_units_asks_for_the_data(path):
    read = load(path, LIKE_IT)
    with pytest.raises(RuntimeError, match="loaded without its data.*give `load` the data"):
        read.std_errors()
    with_data = load(path, LIKE_IT, data=np.asarray(PROBLEM.data))
    np.testing.assert_array_equal(with_data.std_errors("robust"), fitted().std_errors("robust"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            FactorModel(jnp.zeros(3), jnp.zeros(3, int)),
            r"`model.coef` is float64\[2\] in the file and float64\[3\] in the model given; "
            r"`model.log_std_e` is float64\[3\] in the file and int64\[3\] in the model given",
        ),
        (
            UnitEffect(jnp.zeros(2), jnp.zeros(())),
            "`model` is FactorModel in the file and UnitEffect in the model given; `model.coef` is "
            r"float64\[2\] in the file and nothing in the model given",
        ),
        (
            FactorModel([jnp.zeros(2)], jnp.zeros(3)),  # pyright: ignore[reportArgumentType]
            r"`model.coef` is float64\[2\] in the file and a list of 1 in the model given",
        ),
    ],
)
def test_another_model_is_refused(path, model, message):
    with pytest.raises(ValueError, match="of another model than `model`: " + message):
        load(path, model)


def test_a_start_in_single_precision_is_one(path):
    single = FactorModel(jnp.zeros(2, jnp.float32), np.zeros(3))  # pyright: ignore[reportArgumentType]
    assert eqx.tree_equal(load(path, single), load(path, LIKE_IT))


@pytest.mark.slow  # several fits, of shapes of their own
def test_weights_and_groups_stay_when_saved_without_data(tmp_path):
    weights = 1.0 + np.arange(200) % 3
    for options in ({"groups": np.arange(200) % 2}, {"weights": weights}):
        result = fit(*PROBLEM, **options)
        result.save(tmp_path / "one.npz")
        load(tmp_path / "one.npz", LIKE_IT).save(tmp_path / "two.npz")
        again = load(tmp_path / "two.npz", LIKE_IT, data=PROBLEM.data)
        np.testing.assert_array_equal(again.std_errors(), result.std_errors())


def test_a_file_in_double_precision_where_jax_is_single(path):
    program = f"""
import jax.numpy as jnp, spmlex
from tests.spmlex.models import FactorModel
spmlex.load({str(path)!r}, FactorModel(jnp.zeros(2), jnp.zeros(3)))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert "The file is of a fit in float64, but JAX is in single precision here" in ran.stderr


def test_other_data_are_refused(path):
    with pytest.raises(ValueError, match="`data` holds 199 units, but the fit was of 200"):
        load(path, LIKE_IT, data=PROBLEM.data[1:])
    with pytest.raises(ValueError, match="`data` are not those of the fit: the log-likelihood"):
        load(path, LIKE_IT, data=PROBLEM.data * 1.001)


def test_files_of_something_else(tmp_path):
    text, archive = tmp_path / "notes.txt", tmp_path / "arrays.npz"
    text.write_text("no fit")
    np.savez(archive, probs=np.ones(3))
    for path in (text, archive):
        with pytest.raises(ValueError, match=f"{path.name}' is not a file of a fit"):
            load(path, LIKE_IT)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz", LIKE_IT)


@pytest.mark.slow  # several fits, of shapes of their own
def test_groups_weights_and_a_support_of_two_arrays(tmp_path):
    model, data, supp = level_and_slope_problem()
    supp = {"level": supp[:, 0], "slope": supp[:, 1]}
    weights, groups = np.arange(1.0, 61.0), np.arange(60) % 2
    result = fit(model, data, supp, groups=groups, weights=weights)
    result.save(tmp_path / "saved")
    read = load(tmp_path / "saved", model, data=data)
    assert eqx.tree_equal(without_data(read), without_data(result))
    np.testing.assert_array_equal(read.std_errors("robust"), result.std_errors("robust"))


def test_leaves_that_are_not_estimated(tmp_path):
    problem = duration_problem()
    result = fit(*problem)
    result.save(tmp_path / "saved")
    start = eqx.tree_at(lambda m: m.beta, problem.model, jnp.zeros(2))
    read = load(tmp_path / "saved", start)
    assert eqx.tree_equal(read.model, result.model)
    assert eqx.tree_equal(read.params, result.params)
    assert read.model.link is jnp.exp
    # A constant, a function, a static field.
    for where, value, message in (
        (lambda m: m.label, "spells", "`model.label` is 'durations' in the file and 'spells'"),
        (lambda m: m.link, jnp.sin, "`model.link` is function exp in the file and function sin"),
    ):
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "saved", eqx.tree_at(where, start, value))
    other = type(start)(start.beta, start.columns, start.link, start.label, 2.0)
    with pytest.raises(ValueError, match="`model.scale` is 1.0 in the file and 2.0 in the model"):
        load(tmp_path / "saved", other)


def test_held_leaves_stay_held(tmp_path):
    held = fit(*PROBLEM, free=FactorModel(True, False))
    held.save(tmp_path / "saved")
    read = load(tmp_path / "saved", LIKE_IT)
    assert read.param_names == ("coef[0]", "coef[1]")
    assert read.params.log_std_e is None
    np.testing.assert_array_equal(read.model.log_std_e, PROBLEM.model.log_std_e)


def test_function_models(tmp_path):
    def lclk(params, data, supp):
        return FactorModel(params["coef"], params["log_std"]).lclk(data, supp)

    start = FunctionModel({"coef": LIKE_IT.coef, "log_std": LIKE_IT.log_std_e}, lclk)
    result = without_data(fitted())
    params = {"coef": result.model.coef, "log_std": result.model.log_std_e}
    model = FunctionModel(params, lclk)
    held = jax.tree.map(lambda _: None, model)
    where = lambda r: (r.model, r.params, r.problem.held)  # noqa: E731
    result = eqx.tree_at(where, result, (model, model, held))
    result.save(tmp_path / "saved")
    assert eqx.tree_equal(load(tmp_path / "saved", start), result)
    with pytest.raises(ValueError, match="`model.params.coef` is float64.2. in the file and noth"):
        load(tmp_path / "saved", FunctionModel({"log_std": LIKE_IT.log_std_e}, lclk))
    with pytest.raises(ValueError, match="`model.function` is function lclk in the file and funct"):
        load(tmp_path / "saved", FunctionModel(start.params, jax.nn.relu))


def test_names_that_could_be_confused(tmp_path):
    def lclk(params, data, supp):
        own = FactorModel(jnp.stack([params["a"]["b"], params["a.b"]]), LIKE_IT.log_std_e)
        return own.lclk(data, supp)

    start = FunctionModel({"a": {"b": jnp.array(1.5)}, "a.b": jnp.array(0.3)}, lclk)
    result = fit(start, *PROBLEM[1:])
    assert result.param_names == ("a.b", "['a.b']")
    result.save(tmp_path / "saved")
    np.testing.assert_array_equal(load(tmp_path / "saved", start).estimates, result.estimates)


def test_a_support_that_cannot_be_written(tmp_path):
    odd = eqx.tree_at(lambda r: r.supp, fitted(), LIKE_IT)
    with pytest.raises(TypeError, match="`supp` is made of arrays.*this one holds a FactorModel"):
        odd.save(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
