from tests.training.conftest import finished_run  # noqa: F401
