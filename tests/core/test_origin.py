"""Terms of several sources, in a few words."""

import pytest

from meanshape.core.origin import Origin, joined


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["research only (A)", "research only (B)"], "research only (A, B)"),
        (["research only (A, B); free (C)", "research only (B)"], "research only (A, B); free (C)"),
        (["not stated", "research only (A)", "not stated"], "not stated; research only (A)"),
        (["mine (and (his)", "mine"], "mine (and (his)"),
        (["a (b) c", "a (b)"], "a (b) c; a (b)"),
    ],
)
def test_terms_are_said_once_with_all_that_have_them(texts, said):
    assert joined(Origin(licence=text) for text in texts).licence == said
