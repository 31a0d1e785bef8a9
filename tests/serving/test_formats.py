"""One table of picture files: the pixels of training, of prediction and of serving are the same."""

import numpy as np
import pytest
import tensorflow as tf

from sact_tf.data import read_image
from sact_tf.images.decoding import decode_image
from sact_tf.serving.export.image_decoding import decode_image as decode_in_graph
from sact_tf.serving.server.image_limits import client_limits, image_size, plain_images
from tests.serving.picture_formats import cases

_CASES = cases()
_LIMITS = client_limits(10_000)
_graph = tf.function(decode_in_graph, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.mark.parametrize("name", _CASES)
def test_training_prediction_and_serving_see_the_same_pixels(name, tmp_path):
    data, pixels, in_graph = _CASES[name]
    trained = decode_image(data, name)
    assert trained.dtype == np.uint8 and trained.flags.c_contiguous
    if pixels is not None:
        np.testing.assert_array_equal(trained, pixels)
    (tmp_path / "a.bin").write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / "a.bin"), trained)
    # The server of this package decodes itself: its graph gets a file that all graphs read.
    assert np.prod(image_size(data, _LIMITS)) == trained.size // 3
    (plain,) = plain_images(np.array([data], object), _LIMITS)
    np.testing.assert_array_equal(tf.io.decode_png(plain), trained)
    np.testing.assert_array_equal(_graph(plain), trained)
    if in_graph:
        np.testing.assert_array_equal(_graph(data), trained)
    else:
        with pytest.raises(tf.errors.InvalidArgumentError, match="not supported"):
            _graph(data)
