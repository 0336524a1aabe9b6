"""The pictures of the pages: what their code saves, put beside them.

Usage: python docs/figures.py [PAGE ...]
"""

import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
DOCS = Path(__file__).parent


def draw(page: Path) -> list[Path]:
    """Run the code of a page, and keep the pictures that it writes in SVG."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    if not any('.svg")' in block for block in blocks):
        return []
    namespace: dict = {"__name__": "__main__"}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with contextlib.redirect_stdout(io.StringIO()):
            for block in blocks:
                exec(compile(block, str(page), "exec"), namespace)
        os.chdir(DOCS)
        return [Path(shutil.copy(found, page.parent)) for found in Path(folder).glob("*.svg")]


def main() -> None:
    """Draw the pictures of the pages given, or of all."""
    # Matplotlib's date and the salt of its identifiers: the same picture is the same file.
    os.environ.setdefault("SOURCE_DATE_EPOCH", "0")
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams["svg.hashsalt"] = "docs"
    pages = [Path(name).resolve() for name in sys.argv[1:]] or sorted(DOCS.rglob("*.md"))
    for page in pages:
        for picture in draw(page):
            print(picture)


if __name__ == "__main__":
    main()
