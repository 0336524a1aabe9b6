"""Matrices that are read in passes: the same solution as of `mixsolve`, whatever holds the rows."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from .helpers import (
    annotations_off,
    check_solved,
    numpy_gap,
    numpy_hessian,
    numpy_objective,
    probs_error,
    rounding,
)
from .test_errors import changed
from .zoo import M, N, zoo

FAMILIES = [
    "normal_scale", "normal_location", "zero_weights", "unequal_weights", "binomial", "gamma",
    "zero_weights_uncovered", "narrow_kernels", "outlier", "factor_model", "duplicated_columns",
    "duplicated_rows", "uniform_kernels", "zero_columns", "shifted_rows", "vertex", "flat",
]  # fmt: skip
STRIDE, BLOCK = 5, 64


@pytest.fixture(autouse=True)
def _as_if_it_were_large(monkeypatch):
    """Every fifth row in the sample, blocks that do not divide the rows, few sizes to compile."""
    from mixsqpx import _rows, _streamed, _sweep

    monkeypatch.setattr(_streamed, "_SAMPLE_ENTRIES", N * M // STRIDE)
    monkeypatch.setattr(_streamed, "_ROUNDED_TO", 24)
    monkeypatch.setattr(_sweep, "_NUM_TELLING", 16)
    monkeypatch.setattr(_rows, "_BLOCK_ENTRIES", BLOCK * M)
    with annotations_off():
        yield


def solve(log_lik, weights=None, **options):
    import mixsqpx

    return mixsqpx.mixsolve_blocks(log_lik, weights, **options)


class Again:
    """Blocks that are made anew in each pass, as from files; it counts the passes."""

    def __init__(self, blocks):
        self.blocks, self.num_passes = blocks, 0

    def __iter__(self):
        self.num_passes += 1
        return iter(self.blocks)


class Stored:
    """What Zarr and h5py have in common: no array, but slices of rows are arrays."""

    def __init__(self, array, chunks):
        self._array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, chunks
        self.starts = []

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        assert rows.step is None
        self.starts.append(rows.start)
        return self._array[rows]


def split(array, sizes):
    return np.split(array, np.cumsum(sizes)[:-1])


# ---- the same solution ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_families(name):
    import mixsqpx

    problem = zoo()[name]
    log_lik, weights = problem.log_lik, problem.weights
    solution = solve(log_lik, weights)
    check_solved(log_lik, weights, solution)
    whole = mixsqpx.mixsolve(log_lik, weights)
    # Both are above the minimum by at most their gap, 1e-10.
    assert abs(float(solution.objective - whole.objective)) <= 1e-10 + rounding(N, M) * (
        1 + abs(float(whole.objective))
    )
    active = np.asarray(solution.probs) > 0
    hess = numpy_hessian(log_lik, solution.probs, weights)[np.ix_(active, active)]
    if np.linalg.eigvalsh(hess)[0] > 1e-8 and np.array_equal(active, np.asarray(whole.probs) > 0):
        bound = sum(probs_error(log_lik, found.probs, weights) for found in (solution, whole))
        assert np.linalg.norm(solution.probs - whole.probs) <= bound


@pytest.mark.parametrize("gap_tol", [1e-3, 1e-5, 1e-7])
def test_tolerances(gap_tol):
    import mixsqpx

    # A pass that was to certify and does not is followed by others, whatever it left out.
    for problem in (zoo()[name] for name in FAMILIES):
        solution = solve(problem.log_lik, problem.weights, solver=mixsqpx.MixSQP(gap_tol=gap_tol))
        check_solved(problem.log_lik, problem.weights, solution, gap_tol=gap_tol)


@pytest.mark.parametrize("size", [50, N, 1000])
def test_block_sizes(size, monkeypatch):
    from mixsqpx import _rows

    monkeypatch.setattr(_rows, "_BLOCK_ENTRIES", size * M)
    problem = zoo()["zero_weights"]
    check_solved(problem.log_lik, problem.weights, solve(problem.log_lik, problem.weights))


def test_all_rows_in_the_sample(monkeypatch):
    from mixsqpx import _streamed

    monkeypatch.setattr(_streamed, "_SAMPLE_ENTRIES", N * M)
    problem = zoo()["normal_location"]
    solution = solve(problem.log_lik, problem.weights)
    check_solved(problem.log_lik, problem.weights, solution)
    # The optimum of the sample, and a pass that certifies it.
    assert int(solution.stats["num_passes"]) == 2


@pytest.mark.slow  # a program for each way to hold the rows
def test_whatever_holds_the_rows(tmp_path):
    rows = zoo()["normal_location"].log_lik.astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    blocks = split(rows, [70, 0, 1, 100, 29])
    stored = Stored(rows, (30, M))
    kept = {
        "memory": rows,
        "JAX": jax.numpy.asarray(rows),
        "map": np.load(tmp_path / "rows.npy", mmap_mode="r"),
        "list": blocks,
        "again": Again(blocks),
        "stored": stored,
    }
    found = {name: solve(each) for name, each in kept.items()}
    # The certificate is in double precision, of the values as they are.
    check_solved(rows.astype(np.float64), None, found["memory"])
    for name, solution in found.items():
        # Those of the same sample and the same blocks are the same in every number.
        like = {"again": "list", "JAX": "memory", "map": "memory"}.get(name, name)
        np.testing.assert_array_equal(solution.probs, found[like].probs)
        assert abs(float(solution.objective - found["memory"].objective)) <= 1e-10
    num_passes = int(found["again"].stats["num_passes"])
    assert kept["again"].num_passes == num_passes
    assert stored.starts.count(0) == int(found["stored"].stats["num_passes"])
    # No chunk of 30 rows is read twice in a pass of blocks.
    assert stored.starts[-4:] == [0, 60, 120, 180]


@given(st.lists(st.integers(1, N), min_size=1, max_size=12), st.booleans())
def test_any_split_into_blocks(sizes, weighted):
    # The sample and the blocks that are computed with are the same, hence every number.
    sizes = [*sizes, N]
    ends = np.minimum(np.cumsum(sizes), N)
    problem = zoo()["zero_weights"] if weighted else zoo()["normal_scale"]
    weights = problem.weights if weighted else None
    blocks = split(problem.log_lik, np.diff([0, *ends]))
    found, one = solve(blocks, weights), solve([problem.log_lik], weights)
    np.testing.assert_array_equal(found.probs, one.probs)
    np.testing.assert_array_equal(found.gradient, one.gradient)
    check_solved(problem.log_lik, problem.weights, found)


@pytest.mark.parametrize("dtype", [np.float16, np.int32])
def test_other_dtypes(dtype):
    rows = (8 * zoo()["normal_location"].log_lik).round().astype(dtype)
    check_solved(rows.astype(np.float64), None, solve(rows))


def test_a_start():
    import mixsqpx

    problem = zoo()["gamma"]
    optimum = mixsqpx.mixsolve(problem.log_lik).probs
    assert int(solve(problem.log_lik, init=optimum).stats["num_passes"]) == 2
    # A vertex that explains many units badly.
    solution = solve(problem.log_lik, init=np.eye(M)[0])
    check_solved(problem.log_lik, None, solution)
    assert int(solution.stats["num_passes"]) > 2


@pytest.mark.parametrize("name", ["normal_scale", "normal_location", "factor_model"])
def test_number_of_passes(name):
    import mixsqpx

    # A sample of 40 rows is a poor one: the passes of large problems are no more.
    problem = zoo()[name]
    blocks = Again([problem.log_lik])
    solution = solve(blocks, solver=mixsqpx.MixSQP(gap_tol=1e-7))
    assert float(solution.gap) <= 1e-7
    assert blocks.num_passes == int(solution.stats["num_passes"]) <= 7


def test_pages_of_a_map_are_let_go(tmp_path):
    table = Path("/proc/self/smaps")
    if not table.exists():
        pytest.skip("what is in memory is told by Linux alone")
    path = tmp_path / "rows.npy"
    np.save(path, zoo()["normal_location"].log_lik)
    mapped = np.load(path, mmap_mode="r")
    assert np.isfinite(np.sum(mapped))
    resident = {}
    for when in ("before", "after"):
        lines = iter(table.read_text().splitlines())
        sizes = []
        for line in lines:
            if line.endswith(str(path)):
                sizes += [int(x.split()[1]) for x in (next(lines) for _ in range(6)) if "Rss" in x]
        resident[when] = sum(sizes)
        solve(mapped)
    assert resident["before"] > 0
    assert resident["after"] == 0
    # A map of which this process alone has changed something keeps that.
    private = np.load(path, mmap_mode="c")
    private[3, 4] = np.nan
    with pytest.raises(ValueError, match="unit at fault: 3 "):
        solve(private)


def test_a_poor_sample(monkeypatch):
    from mixsqpx import _streamed, _sweep

    # Of five rows, and no more than two that are explained worst.
    monkeypatch.setattr(_streamed, "_SAMPLE_ENTRIES", 5 * M)
    monkeypatch.setattr(_sweep, "_NUM_TELLING", 2)
    for name in ("zero_columns", "gamma"):
        problem = zoo()[name]
        solution = solve(problem.log_lik, problem.weights, init=INIT)
        check_solved(problem.log_lik, problem.weights, solution)


def test_a_step_that_was_too_long():
    from mixsqpx._streamed import _is_too_far, _shortened
    from mixsqpx._sweep import Evaluation

    def at(x):  # of the objective 2 (x - 0.3)², on the way from one component to another
        slope = 4 * (x - 0.3)
        probs, gradient = np.array([1 - x, x]), np.array([-slope / 2, slope / 2])
        value = 2 * (x - 0.3) ** 2
        return Evaluation(
            probs, 0, value, gradient, None, np.arange(2), None, np.dtype(float), None, -1
        )

    assert _is_too_far(at(0.0), at(0.9))
    assert not _is_too_far(at(0.0), at(0.5))  # beyond the minimum, but lower
    assert not _is_too_far(at(0.0), at(0.2))
    np.testing.assert_allclose(_shortened(at(0.0), at(0.9)).probs, [0.7, 0.3], rtol=1e-14)


# ---- progress ------------------------------------------------------------------------------------


def test_progress(capsys):
    solution = solve(zoo()["normal_location"].log_lik, progress=True)
    shown = capsys.readouterr().err
    assert f"Pass {int(solution.stats['num_passes'])}" in shown
    assert "200/200" in shown.replace(" rows", "")
    assert f"{int(solution.stats['num_passes'])} passes" in str(solution)
    solve(zoo()["normal_location"].log_lik)
    assert capsys.readouterr().err == ""


def test_progress_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    with pytest.raises(ImportError, match="needs tqdm"):
        solve(zoo()["normal_location"].log_lik, progress=True)


# ---- failures ------------------------------------------------------------------------------------

GOOD = zoo()["normal_location"].log_lik
WEIGHTS = np.ones(N)
INIT = np.full(M, 1 / M)


@pytest.mark.parametrize(
    ("log_lik", "weights", "init", "result", "unit"),
    [
        (changed(GOOD, (63, 3), np.nan), None, None, "invalid_log_lik", 63),
        (changed(GOOD, ([190, 64], 0), np.inf), None, None, "invalid_log_lik", 64),
        (changed(GOOD, (N - 1, M - 1), np.nan), None, None, "invalid_log_lik", N - 1),
        # Row 150 is in the sample.
        (changed(GOOD, 150, np.nan), None, None, "invalid_log_lik", 150),
        (changed(GOOD, 150, -np.inf), None, None, "zero_likelihood", 150),
        (np.full((N, M), -np.inf), None, None, "zero_likelihood", 0),
        (changed(changed(GOOD, 7, -np.inf), (7, 2), np.nan), None, None, "invalid_log_lik", 7),
        (changed(changed(GOOD, 7, -np.inf), (7, 2), np.inf), None, None, "invalid_log_lik", 7),
        (GOOD, changed(WEIGHTS, 130, -1e-9), None, "invalid_weights", 130),
        (GOOD, changed(WEIGHTS, 4, np.nan), None, "invalid_weights", 4),
        (GOOD, changed(WEIGHTS, 4, np.inf), None, "invalid_weights", 4),
        (GOOD, np.zeros(N), None, "zero_weights", -1),
        (GOOD, None, np.ones(M), "infeasible_init", -1),
        (GOOD, None, changed(INIT, 2, np.nan), "infeasible_init", -1),
    ],
)
def test_faulty_numbers(log_lik, weights, init, result, unit):
    import mixsqpx

    message = mixsqpx.RESULTS[getattr(mixsqpx.RESULTS, result)]
    blocks = split(log_lik, [63, 100, 37])
    with pytest.raises(ValueError, match="^`|^A unit") as caught:
        solve(blocks, weights, init=init)
    assert message in str(caught.value)
    assert (f"unit at fault: {unit} " in str(caught.value)) == (unit >= 0)
    solution = solve(blocks, weights, init=init, throw=False)
    assert solution.result == getattr(mixsqpx.RESULTS, result)
    assert int(solution.stats["unit"]) == unit
    for part in (solution.probs, solution.objective, solution.gap, solution.gradient):
        assert np.all(np.isnan(part))


def test_what_is_no_fault():
    log_lik = changed(changed(GOOD, 0, np.nan), 1, -np.inf)
    weights = changed(WEIGHTS, [0, 1], [0.0, -0.0])
    check_solved(log_lik, weights, solve(log_lik, weights))
    for scale in (1e300, 1e-300):
        check_solved(GOOD, None, solve(GOOD, np.full(N, scale)))
    # No row of the sample has a weight.
    weights = changed(WEIGHTS, slice(None, None, STRIDE), 0.0)
    check_solved(GOOD, weights, solve(GOOD, weights))


def test_a_limit_on_passes():
    import mixsqpx

    options = {"init": INIT, "max_passes": 3}
    with pytest.raises(RuntimeError, match="`max_passes`.*The gap is"):
        solve(GOOD, **options)
    solution = solve(GOOD, throw=False, **options)
    assert solution.result == mixsqpx.RESULTS.max_passes_reached
    assert int(solution.stats["num_passes"]) == 3
    check_last_iterate(solution)


def test_a_gap_that_the_precision_cannot_reach():
    import mixsqpx
    from mixsqpx._progress import Progress
    from mixsqpx._rows import as_rows
    from mixsqpx._streamed import solve_streamed

    # No gap is below zero: it goes on until passes change nothing any more.
    options = {"gap_tol": -1.0, "max_passes": 100, "progress": Progress()}
    solution = solve_streamed(as_rows(GOOD), None, None, **options)
    assert solution.result == mixsqpx.RESULTS.precision_exhausted
    assert float(solution.gap) <= rounding(N, M)
    check_last_iterate(solution)


def check_last_iterate(solution):
    probs = np.asarray(solution.probs)
    assert np.all(probs >= 0)
    assert abs(probs.sum() - 1) <= (M + 1) * np.finfo(float).eps
    gap = numpy_gap(GOOD, probs)
    assert abs(float(solution.gap) - gap) <= rounding(N, M) * (1 + np.exp(gap))
    objective = numpy_objective(GOOD, probs)
    assert abs(float(solution.objective) - objective) <= rounding(N, M) * (1 + abs(objective))


@pytest.mark.parametrize(
    ("log_lik", "error", "says"),
    [
        ((row for row in [GOOD]), TypeError, "gone through only once"),
        (iter([GOOD]), TypeError, "gone through only once"),
        ([GOOD, GOOD[:, 1:]], ValueError, "Block 1 of `log_lik` has 47 columns.* 48"),
        ([GOOD, GOOD.astype(np.float32)], ValueError, "Block 1 .* float32.* float64"),
        ([GOOD, GOOD[0]], ValueError, r"Block 1 of `log_lik` must be a matrix.*\(48,\)"),
        ([1j * GOOD], TypeError, "Block 0 of `log_lik` must hold real numbers.*complex"),
        ([[["a"]]], TypeError, "Block 0 of `log_lik` must hold real numbers"),
        ([], ValueError, "`log_lik` is empty"),
        ([GOOD[:0]], ValueError, "`log_lik` is empty"),
        (GOOD[:0], ValueError, r"`log_lik` is empty: its shape is \(0, 48\)"),
        (GOOD[:, :0], ValueError, r"`log_lik` is empty: its shape is \(200, 0\)"),
        (GOOD[0], ValueError, r"`log_lik` must be a matrix.*\(48,\)"),
        (GOOD.astype(str), TypeError, "`log_lik` must hold real numbers"),
        (3.0, TypeError, "`log_lik` must be an array.*float"),
        ("rows.npy", TypeError, "`log_lik` must be an array.*str"),
    ],
)
def test_rows_that_are_none(log_lik, error, says):
    with pytest.raises(error, match=says):
        solve(log_lik)


def test_blocks_that_change():
    class Growing:
        def __init__(self):
            self.num_rows = N

        def __iter__(self):
            self.num_rows -= 1
            return iter([GOOD[: self.num_rows]])

    with pytest.raises(ValueError, match="198 rows in all, but had 199"):
        solve(Growing())


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"weights": np.ones(N + 1)}, ValueError, r"`weights` .*\(200,\).*\(201,\)"),
        ({"init": np.ones(3)}, ValueError, r"`init` .*\(48,\).*\(3,\)"),
        ({"max_passes": 1}, ValueError, "`max_passes` must be at least 2"),
        ({"max_passes": 2.0}, ValueError, "`max_passes` must be an integer"),
        ({"solver": "MixSQP"}, TypeError, "`solver` must be MixSQP"),
        ({"gap_tol": 1e-7}, TypeError, "belongs to the solver"),
        ({"max_steps": 3}, TypeError, "`max_passes`"),
    ],
)
def test_other_arguments(options, error, says):
    with pytest.raises(error, match=says):
        solve([GOOD], **options)


def test_no_trace():
    with pytest.raises(TypeError, match="cannot be traced"):
        jax.jit(lambda x: solve(x).probs)(GOOD)


def test_likelihoods_are_warned_of():
    with pytest.warns(UserWarning, match="zero or positive"):
        solve(np.exp(GOOD), throw=False)


# ---- single precision, where JAX has no other ----------------------------------------------------

SINGLE = """
import sys
import warnings
import numpy as np
import mixsqpx
log_lik = np.load(sys.argv[1])
solution = mixsqpx.mixsolve_blocks([log_lik[:90], log_lik[90:]])
assert solution.result == mixsqpx.RESULTS.successful
assert solution.probs.dtype == np.float32
np.save(sys.argv[2], solution.probs)
# The warning is of the line that calls.
with warnings.catch_warnings(record=True) as caught:
    mixsqpx.mixsolve_blocks(np.exp(log_lik), throw=False)
    mixsqpx.mixsolve(np.exp(log_lik), throw=False)
assert [each.filename for each in caught] == 2 * ["<string>"]
"""


def test_without_double_precision(tmp_path):
    import subprocess

    np.save(tmp_path / "log_lik.npy", GOOD.astype(np.float32))
    paths = [str(tmp_path / name) for name in ("log_lik.npy", "probs.npy")]
    subprocess.run([sys.executable, "-c", SINGLE, *paths], check=True)
    gap = numpy_gap(GOOD.astype(np.float32), np.load(paths[1]))
    assert gap <= 1e-5 + rounding(N, M, np.float32)
