"""The checks are modules beside the suites: their assertions tell what they compared."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("checks", "weight_checks")
