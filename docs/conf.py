"""Sphinx: `sphinx-build -W docs docs/_build`, with the extra `docs` installed."""

import meanshape

project = "Meanshape"
author = "The Meanshape authors"
copyright = f"2026, {author}"
release = version = meanshape.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "methods/_template.md"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_mock_imports = ["torch"]
napoleon_google_docstring = False

html_theme = "furo"
html_title = f"Meanshape {release}"
