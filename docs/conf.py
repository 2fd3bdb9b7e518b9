"""Configuration of the documentation site: ``sphinx-build -W docs build/docs`` (offline, a minute)."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from solver import __version__  # noqa: E402

project = "Remask"
author = "The Remask maintainers"
copyright = "2026, the Remask maintainers"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb", ".rst": "restructuredtext"}
exclude_patterns = ["results/report.md"]  # all tables again, for comparing two runs
html_theme = "furo"
html_title = f"Remask {__version__}"

# Notebooks keep the outputs that are committed; tests/test_notebooks.py executes them.
nb_execution_mode = "off"
myst_heading_anchors = 3
# Links to source files are for readers of the repository: the site has no page for them.
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]

autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
