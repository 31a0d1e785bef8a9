"""One export and one server for all tests that only ask."""

import pytest

from sact_tf.serving.export import export
from tests.serving import models
from tests.serving.http_client import Server

ODD_NAME = "a #1%2F? ü&<b>"
HEADER_SECONDS, BODY_SECONDS = 2, 5


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """`(model, folder of versions)` of a tiled SACT classifier. Not to be changed."""
    model = models.make_model()
    folder = tmp_path_factory.mktemp("export") / "pets"
    export(model, folder / "3", execution="tiled", top=3)
    return model, folder


@pytest.fixture(scope="session")
def server(exported):
    """The export served by a real process, with small limits."""
    flags = ["--request_mb=1", "--image_megapixels=0.05", "--batch_size=8"]
    with Server(exported[1], *flags) as running:
        yield running


@pytest.fixture(scope="session")
def strict_server(exported):
    """The export under an odd name, with short deadlines and more room, for hostile clients."""
    flags = [
        "--request_mb=8",
        "--image_megapixels=4",
        f"--header_seconds={HEADER_SECONDS}",
        f"--body_seconds={BODY_SECONDS}",
        f"--model_name={ODD_NAME}",
        "--cors_origins=https://a.example,http://localhost:3000",
    ]
    with Server(exported[1], *flags) as running:
        yield running
