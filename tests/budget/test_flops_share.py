import keras
import numpy as np
import pytest
import tensorflow as tf

from sact_tf.budget import FlopsShare, check_budget, reachable_range, shift_halting_logits
from sact_tf.models import ResNetBackbone


def test_share_is_mean_flops_over_plain_flops(make_classifier, images):
    model = make_classifier()
    flops = model.forward(images)["flops"].numpy()
    expected = flops.mean() / model.plain_flops(16, 16)
    assert len(set(flops)) > 1
    share = FlopsShare(model)
    labels = tf.zeros([8])
    forms = [
        images,
        images.numpy(),
        [images[:20], images[20:]],
        [(images[:8], labels), (images[8:16], labels), (images[16:], labels)],
        tf.data.Dataset.from_tensor_slices({"image": images}).batch(7),
    ]
    for form in forms:
        assert share(form) == pytest.approx(expected, rel=1e-12)
    assert share.sizes == [(16, 16)]


def test_share_of_padded_images_is_that_of_the_images_alone(make_classifier, images):
    share = FlopsShare(make_classifier())
    alone = share([images[:1, :12, :8], images[1:2]])
    padded = tf.pad(images[:1, :12, :8], [[0, 0], [0, 4], [0, 8], [0, 0]])
    valid = np.zeros([2, 16, 16], bool)
    valid[0, :12, :8] = valid[1] = True
    both = {"image": tf.concat([padded, images[1:2]], 0), "valid": tf.constant(valid)}
    assert share([both]) == pytest.approx(alone, rel=1e-12)


@pytest.mark.parametrize("halting", ["act", "sact"])
def test_reachable_range_is_one_unit_and_all_units(make_classifier, images, halting):
    model = make_classifier(halting)
    before = model.get_weights()
    lowest, highest = reachable_range(model, 16, 16)
    np.testing.assert_equal(model.get_weights(), before)
    one_unit = ResNetBackbone(
        (1, 1), base_channels=4, stem="cifar", stem_channels=4, unit="basic"
    ).plain_flops(16, 16)
    plain = model.plain_flops(16, 16)
    head = plain - model.backbone.plain_flops(16, 16)
    # The first halting score of each block is computed as well.
    scores = plain * lowest - one_unit - head
    assert 0 < scores < 0.05 * plain
    assert 1 < highest < 1.1
    shares = [
        FlopsShare(shift_halting_logits(make_classifier(halting), s))(images) for s in (-3, 3)
    ]
    assert lowest <= shares[1] < shares[0] <= highest


def test_budget_out_of_reach_is_refused_with_the_range(make_classifier):
    model = make_classifier()
    lowest, highest = reachable_range(model, 16, 16)
    check_budget(model, (lowest + highest) / 2, [(16, 16), (24, 16)])
    for wrong in (lowest - 0.01, highest + 0.01):
        with pytest.raises(ValueError, match=f"{lowest:.3f} .*{highest:.3f} .*{wrong!r}"):
            check_budget(model, wrong, [(16, 16)])


def test_models_that_cannot_be_measured_are_named(make_classifier):
    with pytest.raises(ValueError, match="an AdaptiveModel .*received <Sequential"):
        FlopsShare(keras.Sequential([]))
    with pytest.raises(ValueError, match="no halting scores"):
        reachable_range(make_classifier(None), 16, 16)
    with pytest.raises(ValueError, match="at least one image"):
        FlopsShare(make_classifier())([])
    with pytest.raises(ValueError, match="key 'image'"):
        FlopsShare(make_classifier())([{"picture": None}])
