"""The authors' full-size variable lists against our networks, name by name."""

import dataclasses

import numpy as np
import pytest

import sact_tf
from sact_tf.checkpoints import Tf1Architecture, model_from_variables, variable_map
from sact_tf.checkpoints.tf1_architecture import infer_architecture
from sact_tf.models import ImageClassifier, ResNetBackbone

RESNET_101 = Tf1Architecture("imagenet", (3, 4, 23, 3), 64, 64, None, 1001)
LISTS = {
    "imagenet_101_vanilla": (RESNET_101, "ImageNet ResNet-101", 44_579_945),
    "imagenet_101_act": (
        dataclasses.replace(RESNET_101, halting="act"),
        "ImageNet ResNet-101",
        44_665_990,
    ),
    "imagenet_101_sact": (
        dataclasses.replace(RESNET_101, halting="sact"),
        "ImageNet ResNet-101",
        44_981_382,
    ),
    "cifar_5_5_5_sact": (
        Tf1Architecture("cifar", (5, 5, 5), 16, 16, "sact", 10),
        "CIFAR ResNet-32",
        471_014,
    ),
}


def read_list(path):
    """Lines `name dtype [shape] trainable`: {name: (shape, is trainable)}."""
    variables = {}
    for line in path.read_text().splitlines():
        name, rest = line.split(" ", 1)
        numbers = rest[rest.index("[") + 1 : rest.index("]")]
        shape = tuple(int(size) for size in numbers.split(",") if size)
        variables[name] = (shape, rest.endswith("trainable"))
    return variables


@pytest.mark.parametrize("name", LISTS)
def test_every_variable_of_the_published_networks_has_its_weight(golden, name):
    architecture, title, parameters = LISTS[name]
    listed = read_list(golden / f"varlist_{name}.txt")
    assert infer_architecture({key: shape for key, (shape, _) in listed.items()}) == architecture
    assert architecture.title.startswith(title)

    # A value's bytes do not matter here: every array is one zero, seen many times.
    values = {key: np.broadcast_to(np.float32(0), shape) for key, (shape, _) in listed.items()}
    model = model_from_variables(values)

    weights = variable_map(model)
    del listed["global_step"]
    assert {key: (tuple(w.shape), w.trainable) for key, w in weights.items()} == listed
    assert len({id(weight) for weight in weights.values()}) == len(listed)
    assert len(model.weights) == len(listed)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters
    if name == "imagenet_101_vanilla":
        assert model.plain_flops(224, 224) == 15_602_814_976


def test_identity_shortcut_where_the_root_has_the_blocks_channels():
    backbone = ResNetBackbone(units=(1, 1, 1, 1), base_channels=4, stem_channels=16)
    names = variable_map(ImageClassifier(backbone, 3))
    shortcuts = [name for name in names if "shortcut/weights" in name]
    assert [name.split("/")[1] for name in shortcuts] == ["block2", "block3", "block4"]


def test_networks_without_published_names_are_refused():
    backbone = ResNetBackbone(units=(1, 1), base_channels=2, stem="cifar", stem_channels=4)
    with pytest.raises(ValueError, match="stem='cifar', unit='bottleneck'"):
        variable_map(ImageClassifier(backbone, 3))


def test_the_ponder_weight_is_no_checkpoint_matter():
    backbone = ResNetBackbone.cifar(1, base_channels=2, halting="sact", ponder_weight=0.25)
    model = ImageClassifier(backbone, 3)
    assert not [name for name in variable_map(model) if "ponder" in name]
    sact_tf.set_ponder_weight(model, 0.5)
    assert not [weight for weight in model.weights if "ponder" in weight.path]
