"""Prepares small TensorFlow Datasets sets on disk."""

import io

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from tests.data.picture_files import smooth_picture

# TFDS registers every builder class by its name, the class itself; so do these.


class TinyCifar(tfds.core.GeneratorBasedBuilder):
    """PNG of one size, in two splits, as cifar10."""

    VERSION = tfds.core.Version("1.0.0")
    pictures = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), np.uint8)

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(32, 32, 3)),
                    "label": tfds.features.ClassLabel(names=["cat", "dog", "owl"]),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 20), "test": self._generate_examples(20, 30)}

    def _generate_examples(self, start, stop):
        for i in range(start, stop):
            yield f"{i:03}", {"id": str(i), "image": self.pictures[i], "label": i % 3}


class TinyImagenet(tfds.core.GeneratorBasedBuilder):
    """JPEG of different sizes with file names, as imagenet2012; one is broken, one unlabelled."""

    VERSION = tfds.core.Version("2.1.0")
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name="whole"),
        tfds.core.BuilderConfig(name="broken"),
    ]

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=["n01", "n02", "n03", "n04"]),
                    "file_name": tfds.features.Text(),
                }
            )
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(24), "validation": self._generate_examples(8)}

    def _generate_examples(self, count):
        for i in range(count):
            file = io.BytesIO()
            Image.fromarray(smooth_picture(40 + i, 60 - i, seed=i)).save(file, "jpeg")
            data = file.getvalue()
            if self.builder_config.name == "broken" and i == 3:
                data = data[:300]
            label = -1 if self.builder_config.name == "broken" and i == 5 else i % 4
            name = f"n0{label + 1}_{i}.JPEG"
            yield name, {"image": io.BytesIO(data), "label": label, "file_name": name}


class TinyText(tfds.core.GeneratorBasedBuilder):
    """No images."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()})
        )

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield "0", {"text": "x"}


def prepare(builder_class, data_dir, config=None, file_format=None, num_shards=None):
    """Writes a set, as `download_and_prepare` of a real one does."""
    builder = builder_class(data_dir=data_dir, config=config, file_format=file_format)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=num_shards)
    )
    return builder
