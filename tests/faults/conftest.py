import signal

import pytest


@pytest.fixture(scope="module", autouse=True)
def interruptible():
    """Tests that run in the background have Ctrl-C ignored, and so would all that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
