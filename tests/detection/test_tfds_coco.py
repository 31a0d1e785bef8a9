"""COCO out of TensorFlow Datasets."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from sact_tf.detection.data import TfdsCoco
from sact_tf.errors import UserError
from tests.data.picture_files import smooth_picture
from tests.data.streams import assert_resumes, take
from tests.data.tfds_sets import TinyText, prepare
from tests.detection.coco_files import annotation

_PREPROCESSING = {"name": "unit", "short_side": 20, "long_side": 40}


class Coco(tfds.core.GeneratorBasedBuilder):
    """The features of coco/2017; image i has i % 3 boxes, the last one a crowd."""

    VERSION = tfds.core.Version("1.1.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="2017"), tfds.core.BuilderConfig(name="wrong")]
    NAMES = [f"thing{i}" for i in range(80)]

    def _info(self):
        objects = {
            "area": np.int64,
            "bbox": tfds.features.BBoxFeature(),
            "id": np.int64,
            "is_crowd": np.bool_,
            "label": tfds.features.ClassLabel(names=self.NAMES),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "image/filename": tfds.features.Text(),
                    "image/id": np.int64,
                    "objects": tfds.features.Sequence(objects),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {
            "train": self._generate_examples(0, 9),
            "validation": self._generate_examples(9, 14),
        }

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            file = io.BytesIO()
            Image.fromarray(smooth_picture(20 + i, 40 - i, seed=i)).save(file, "jpeg")
            boxes = [
                tfds.features.BBox(0.25, 0.5, 0.75, 1.0),
                tfds.features.BBox(0.0, 0.0, 0.5, 0.5),
            ]
            objects = [
                {"area": 50 + n, "bbox": boxes[n], "id": 10 * i + n, "is_crowd": n == 1,
                 "label": (12, 79)[n]}
                for n in range(i % 3)
            ]  # fmt: skip
            if self.builder_config.name == "wrong" and i == 10:
                objects[0]["label"] = -1
            yield (
                str(i),
                {
                    "image": io.BytesIO(file.getvalue()),
                    "image/filename": f"{i}.jpg",
                    "image/id": 100 + i,
                    "objects": objects,
                },
            )


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tfds")
    prepare(Coco, directory, config="2017")
    prepare(Coco, directory, config="wrong")
    prepare(TinyText, directory)
    return directory


def test_examples_are_those_of_the_set(data_dir):
    data = TfdsCoco("coco/2017", _PREPROCESSING, data_dir)
    assert (data.num_examples("train"), data.num_examples("validation")) == (9, 5)
    assert data.class_names == Coco.NAMES
    # COCO's own ids have holes: thing 12 is id 14 there, the last one 90.
    assert data.category_ids[:12] == [*range(1, 12), 13]
    assert (data.category_ids[12], data.category_ids[79]) == (14, 90)
    (batch,) = take(data.evaluation(5), 1)
    assert sorted(batch["image_id"]) == [109, 110, 111, 112, 113]  # TFDS shuffles them.
    place = batch["image_id"].tolist().index(111)
    np.testing.assert_array_equal(batch["original_size"][place], [31, 29])
    height, width = 21, 20  # 31 x 20 / 29, in whole pixels.
    np.testing.assert_array_equal(batch["classes"][place], [12, 79])
    np.testing.assert_array_equal(batch["crowd"][place], [False, True])
    np.testing.assert_allclose(
        batch["boxes"][place],
        np.array([[0.25, 0.5, 0.75, 1.0], [0, 0, 0.5, 0.5]]) * [height, width, height, width],
        atol=1e-3,
    )
    empty = batch["image_id"].tolist().index(109)
    np.testing.assert_array_equal(batch["classes"][empty], [-1, -1])
    assert_resumes(data, batch_size=4, steps=4, start_steps=[2])


def test_ground_truth_is_in_original_pixels(data_dir):
    truth = TfdsCoco("coco/2017", _PREPROCESSING, data_dir).ground_truth()
    images = {image.pop("id"): image for image in truth["images"]}
    assert images[110] == {"file_name": "10.jpg", "height": 30, "width": 30}
    assert sorted(images) == [109, 110, 111, 112, 113]
    (found,) = [entry for entry in truth["annotations"] if entry["image_id"] == 110]
    expected = annotation(found["id"], 110, [15, 7.5, 15, 15], 14, area=50, iscrowd=0)
    assert found.pop("bbox") == pytest.approx(expected.pop("bbox"), abs=1e-3)
    assert found == expected


def test_a_label_that_makes_no_sense_is_named(data_dir):
    with pytest.raises(UserError, match=r"record 2, image 110: expected labels in 0 ... 79"):
        TfdsCoco("coco/wrong", _PREPROCESSING, data_dir).ground_truth()


def test_other_sets_are_refused(data_dir):
    with pytest.raises(UserError, match="expected the features of coco/2017"):
        TfdsCoco("tiny_text", _PREPROCESSING, data_dir)
    with pytest.raises(UserError, match="no prepared TFDS data set"):
        TfdsCoco("coco/2014", _PREPROCESSING, data_dir)
    with pytest.raises(UserError, match="2 of 5 images of validation_split='train.4:.' are in"):
        TfdsCoco("coco/2017", _PREPROCESSING, data_dir, "train[:6]", "train[4:]")
