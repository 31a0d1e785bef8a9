import pathlib

import pytest

from tests.training import running


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> pathlib.Path:
    """The directory of a tiny run, trained and evaluated by a real process. Not to be changed."""
    directory = tmp_path_factory.mktemp("finished")
    config = running.write_config(directory)
    result = running.run("imagenet", f"--config={config}", f"--model_dir={directory / 'run'}")
    assert result.returncode == 0, result.stderr
    (directory / "run" / "stdout.txt").write_text(result.stdout)
    return directory / "run"
