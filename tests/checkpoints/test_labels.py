"""Labels and names of models with a background class."""

import pytest

from sact_tf.checkpoints import label_offset, with_background
from sact_tf.errors import UserError


@pytest.mark.parametrize(
    ("num_classes", "dataset_classes", "offset"),
    [(1001, 1000, 1), (1000, 1000, 0), (1001, 1001, 0), (10, 10, 0)],
)
def test_label_offset(num_classes, dataset_classes, offset):
    assert label_offset(num_classes, dataset_classes) == offset


@pytest.mark.parametrize("dataset_classes", [999, 1002, 10])
def test_label_offset_refuses_other_data_sets(dataset_classes):
    with pytest.raises(UserError, match=f"1001 classes .* {dataset_classes}"):
        label_offset(1001, dataset_classes)


def test_background_is_added_where_it_is_missing():
    assert with_background(["tench", "goldfish"], 3) == ["background", "tench", "goldfish"]
    assert with_background(["nothing", "tench", "goldfish"], 3)[0] == "nothing"
    with pytest.raises(UserError, match="expected 3 class names.* received 1"):
        with_background(["tench"], 3)
