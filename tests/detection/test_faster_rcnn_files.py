"""Files of detectors: configurations, `.keras`, SavedModel, checkpoints."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import sact_tf
from sact_tf.detection import FasterRCNN
from sact_tf.models import ImageClassifier
from tests.harness import assert_same, check_config, run_python


class TestFiles:
    OPTIONS = {
        "class_names": ["a", "b", "c"],
        "preprocessing": {"kind": "x"},
        "feature_block": "block1",
        "adaptive_box_head": True,
        "anchor_sizes": (8, 24),
        "aspect_ratios": (1.0, 3.0),
        "rpn_channels": 12,
        "num_proposals": 20,
        "proposal_candidates": 99,
        "proposal_iou": 0.6,
        "sampled_anchors": 32,
        "sampled_regions": 8,
        "crop_size": 5,
        "box_loss_weight": 1.5,
        "max_detections": 7,
        "score_threshold": 0.02,
        "detection_iou": 0.4,
        "freeze_batch_norm": True,
        "name": "mine",
    }

    def test_config(self, make_detector):
        restored = check_config(lambda: make_detector(random=False, **self.OPTIONS))
        assert restored.extractor[-1].name == "block1"
        assert not restored.box_head.postnorm.trainable

    def test_names_and_preprocessing_stand_where_a_classifier_has_them(self, make_detector):
        backbone = make_detector(random=False).backbone
        scaling = {"name": "unit"}
        for model_type in (ImageClassifier, FasterRCNN):
            model = model_type(backbone, 2, ("cat", "dog"), scaling)
            assert model.class_names == ["cat", "dog"] and model.preprocessing == scaling
            config = model.get_config()
            assert (config["class_names"], config["preprocessing"]) == (["cat", "dog"], scaling)

    def test_keras_file(self, make_detector, scene, tmp_path):
        detector = make_detector(**self.OPTIONS)
        path = tmp_path / "detector.keras"
        detector.save(path)
        restored = keras.models.load_model(path)
        assert_same(restored(scene), detector(scene), 1e-6)
        assert restored.class_names == ["a", "b", "c"]
        assert restored.preprocessing == {"kind": "x"}
        assert len(restored.trainable_variables) == len(detector.trainable_variables)

    def test_a_bare_import_loads_it(self, make_detector, tmp_path):
        path = tmp_path / "detector.keras"
        make_detector().save(path)
        code = (
            "import sys, sact_tf, keras\n"
            "model = keras.models.load_model(sys.argv[1])\n"
            "assert not [name for name in sys.modules if name.startswith('official')]\n"
            "print(type(model).__name__, model.num_classes)"
        )
        assert run_python(code, path).split() == ["FasterRCNN", "3"]

    @pytest.mark.parametrize(
        "execution", ["masked", pytest.param("tiled", marks=pytest.mark.large)]
    )
    def test_saved_model(self, make_detector, scene, tmp_path, execution):
        detector = sact_tf.set_execution(make_detector(), execution)
        detector.export(
            tmp_path / "export",
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
            verbose=False,
        )
        np.save(tmp_path / "image.npy", scene["image"][:1])
        code = (
            "import sys, numpy as np, tensorflow as tf\n"
            "model = tf.saved_model.load(sys.argv[1] + '/export')\n"
            "image = np.load(sys.argv[1] + '/image.npy')\n"
            "np.savez(sys.argv[1] + '/out', **model.serve(image))\n"
            "model.serve(np.zeros([2, 40, 70, 3], 'float32'))"
        )
        run_python(code, tmp_path, blocked=("keras", "sact_tf", "official", "tf_keras"))
        with np.load(tmp_path / "out.npz") as out:
            expected = detector(scene["image"][:1])
            assert set(out) == set(expected)
            for name in expected:
                assert_same(out[name], expected[name], 1e-4)

    def test_checkpoint(self, make_detector, scene, tmp_path):
        one, two = make_detector(), make_detector(random=False)
        path = tf.train.Checkpoint(model=one).save(str(tmp_path / "model"))
        tf.train.Checkpoint(model=two).restore(path).assert_existing_objects_matched()
        assert_same(two(scene), one(scene), 1e-6)
