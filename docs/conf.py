"""How the site is built: `sphinx-build -W docs .site`."""

import os
import sys
from importlib import metadata
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from docutils import nodes  # noqa: E402
from latex2mathml.converter import convert  # noqa: E402

from benchmarks.draw import main as draw  # noqa: E402

# The figures of the benchmarks' pages are drawn from their results at each build.
draw([str(DOCS / "benchmarks")])

# The examples are small, so that compiling them takes longer than running: let XLA optimise less.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

project = "spmlex and mixsqpx"
author = "The spmlex authors"
project_copyright = author
release = version = metadata.version("spmlex")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["examples/*"]
nitpicky = True
smartquotes = False

# What stands between single backticks in a docstring is code.
default_role = "code"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Types are in the sections of the docstrings, where they name the dimensions.
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
autosummary_generate = True
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": r"\.py$",
    "plot_gallery": "True",
    "abort_on_example_error": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "backreferences_dir": "reference/examples",
    "doc_module": ("spmlex", "mixsqpx"),
    "within_subsection_order": "FileNameSortKey",
}

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_title = "spmlex"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# Pages without neighbours in a section of their own.
html_sidebars = {"index": [], "getting-started": [], "reliability": []}
html_theme_options = {
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_prev_next": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc", "sg_download_links"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def render_math(display):
    """A visitor that writes formulas in MathML, which browsers set without a script."""

    def visit(translator, node):
        translator.body.append(convert(node.astext(), display=display))
        raise nodes.SkipNode

    return visit, None


def setup(app):
    app.add_html_math_renderer("mathml", render_math("inline"), render_math("block"))
