"""Property tests: few examples, and no deadline, for the machines that run them are busy."""

from hypothesis import settings

settings.register_profile("brief", max_examples=25, deadline=None)
settings.load_profile("brief")
