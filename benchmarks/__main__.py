"""`python -m benchmarks` lists the commands; `python -m benchmarks NAME [options]` runs one."""

from __future__ import annotations

import importlib
import sys

COMMANDS = {
    "mixsolve": ("solver.mixsolve", "time and accuracy of mixsolve beside its peers"),
    "batch": ("solver.batch", "vmap over mixsolve beside a Python loop"),
    "float32": ("solver.float32", "the gap that single precision can attain"),
    "streamed": ("streamed.run", "time, passes and memory for matrices larger than memory"),
    "fit": ("fit.run", "time and success of spmlex.fit, beside quasi-Newton over other solvers"),
    "first_answer": ("first_answer.run", "time until the first answer of a process"),
    "coverage": ("coverage.run", "bias, spread and coverage of the estimates, by simulation"),
    "second_opinion": ("reliability.second_opinion", "our solutions against those of Clarabel"),
    "mutation": ("reliability.mutation", "do the tests notice a changed sign?"),
    "peers": ("peers.environments", "make the environments that the peers run in"),
    "render": ("render", "write the pages from the results"),
    "draw": ("draw", "draw the figures of the pages from the results"),
}
"""The module of each command, whose `main` takes its arguments, and what it does."""


def main(arguments: list[str]) -> int | None:
    """Run the command that is named first, or list all."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("python -m benchmarks NAME [options], from the root of the repository:\n")
        print("\n".join(f"    {name:16s}{line}" for name, (_, line) in COMMANDS.items()))
        return 0
    name, *options = arguments
    if name not in COMMANDS:
        print(f"There is no {name!r}; `python -m benchmarks` lists what there is.", file=sys.stderr)
        return 2
    module = importlib.import_module(f".{COMMANDS[name][0]}", __package__)
    return module.main(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
