"""Print pip constraints that pin every dependency of both packages to its lower bound.

So the oldest versions that are tested are those that the packages say they accept.
"""

import pathlib
import re
import tomllib

packages = pathlib.Path(__file__).parents[1] / "packages"
requirements = set()
for path in packages.glob("*/pyproject.toml"):
    project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
    extras = {k: v for k, v in project["optional-dependencies"].items() if k != "docs"}
    requirements.update(project["dependencies"], *extras.values())

ours = {path.name for path in packages.iterdir()}
for requirement in sorted(requirements):
    name, bound = re.fullmatch(r"([\w.-]+)(?:\[[\w,]+\])?(?:>=([\d.]+))?", requirement).groups()
    if name not in ours:
        print(f"{name}=={bound}")
