"""One interface for the models; the detector's half is in `tests/detection`."""

import pytest

from sact_tf.errors import UserError
from sact_tf.models import AdaptiveModel, ImageClassifier
from tests.harness import assert_same
from tests.models.networks import images, make_backbone, make_classifier


@pytest.mark.parametrize("make", [make_backbone, make_classifier])
@pytest.mark.parametrize("halting", [None, "act", "sact"])
def test_models_answer_alike(make, halting):
    model = make("cifar", halting)
    assert isinstance(model, AdaptiveModel)
    assert model.halting_kind == halting and model.image_shape == (None, None, 3)
    assert model.block_names == ["block1", "block2"]
    batch = images(2, 12, 8)
    outputs, spent = model.forward(batch), model.ponder(batch)
    assert set(spent) == {*model.answers, "flops", "ponder_cost_map", *model.block_names}
    for name in (*model.answers, "flops"):
        assert_same(spent[name], outputs[name])
    for name in model.block_names:
        assert_same(spent[name], outputs["halting"][name])
    assert spent["ponder_cost_map"].shape == (2, *((12, 8) if halting == "sact" else (1, 1)))
    if halting is None:
        assert (spent["flops"].numpy() == model.plain_flops(12, 8)).all()


def test_classes_without_names_are_called_by_number():
    backbone = make_backbone("cifar")
    assert ImageClassifier(backbone, 2).class_name(1) == "1"
    assert ImageClassifier(backbone, 2, class_names=["cat", "dog"]).class_name(1) == "dog"


def test_a_model_that_does_not_say_its_input_is_refused():
    backbone = make_backbone("cifar")
    saying = ImageClassifier(backbone, 2, preprocessing={"name": "scale"})
    assert saying.required_preprocessing() == {"name": "scale"}
    for model in (backbone, ImageClassifier(backbone, 2)):
        with pytest.raises(ValueError, match=rf"is None; give {type(model).__name__}\(") as caught:
            model.required_preprocessing()
        assert isinstance(caught.value, UserError)
