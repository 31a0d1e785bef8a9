"""Options and fixtures of the whole suite."""

import os
import pathlib

# Before TensorFlow is imported by any test, and inherited by the programs that tests start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402
import pytest  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        "--run_large", action="store_true", help="also run the tests marked large (minutes each)"
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "large: takes over 30 s; runs only with --run_large")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--run_large"):
        return
    skip = pytest.mark.skip(reason="large: give --run_large")
    for item in items:
        if item.get_closest_marker("large"):
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def random_seed():
    """Every test starts from the same random state, whichever ran before it."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def golden() -> pathlib.Path:
    """Directory of the numbers that the authors' implementation gave."""
    return pathlib.Path(__file__).parent / "golden"
