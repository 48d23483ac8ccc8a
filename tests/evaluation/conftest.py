"""Property tests: few examples, and no deadline, for the machines that run them are busy."""

import pytest
from hypothesis import settings
from known_faces import faces

settings.register_profile("brief", max_examples=40, deadline=None)
settings.load_profile("brief")


@pytest.fixture
def samples():
    return faces()
