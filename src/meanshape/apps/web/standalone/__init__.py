"""The sources of the page that runs without a server; `apps/web/site.py` writes it."""

from meanshape.core import resources

SOURCES = resources.beside(__file__, "")
"""The folder of its HTML, style sheet and modules."""
