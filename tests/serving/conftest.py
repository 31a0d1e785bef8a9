"""One export and one server for all tests that only ask."""

import pytest

from sact_tf.serving.export import export
from tests.serving import models
from tests.serving.http_client import Server


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
