"""One golden case: what the authors' implementation gave, and our model with its weights."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from sact_tf.checkpoints import model_from_variables
from sact_tf.models import ImageClassifier

# Relative to the tensor's largest magnitude. In float64 the ImageNet network has nothing but
# summation order between the two; a leaky ReLU's slope is float32 inside TensorFlow's kernel.
FLOAT32_TOLERANCE = 1e-5
FLOAT64_TOLERANCE = {"imagenet": 1e-12, "cifar": 1e-7}


@dataclasses.dataclass
class GoldenCase:
    """A golden file's arrays, its `meta` and the model with its variables."""

    name: str
    arrays: dict[str, np.ndarray]
    meta: dict[str, Any]
    model: ImageClassifier

    @property
    def dtype(self) -> str:
        return self.model.backbone.compute_dtype

    @property
    def images(self) -> np.ndarray:
        return self.arrays["images"].astype(self.dtype)

    @property
    def scopes(self) -> dict[str, str]:
        """The authors' name of each block by ours."""
        return dict(zip(self.model.backbone.block_names, self.meta["scopes"], strict=True))

    @property
    def tolerance(self) -> float:
        is_float64 = self.dtype == "float64"
        return FLOAT64_TOLERANCE[self.meta["net"]] if is_float64 else FLOAT32_TOLERANCE

    def assert_close(self, received, key: str, tolerance: float | None = None) -> None:
        """Compares with the array `key`, whose shape may lack axes of size 1."""
        expected = self.arrays[key]
        received = np.asarray(received, np.float64)
        assert received.size == expected.size, f"{key}: {received.shape}, {expected.shape}"
        error = np.max(np.abs(received.reshape(expected.shape) - expected))
        tolerance = self.tolerance if tolerance is None else tolerance
        assert error <= tolerance * np.max(np.abs(expected)), f"{key}: {error}"

    def assert_equal(self, received, key: str) -> None:
        expected = self.arrays[key]
        np.testing.assert_array_equal(np.reshape(received, expected.shape), expected, key)


def load_case(directory: pathlib.Path, name: str, dtype: str | None = None) -> GoldenCase:
    """Reads a golden file and builds its network, in the file's precision unless told."""
    with np.load(directory / f"{name}.npz") as data:
        arrays = dict(data)
    meta = json.loads(str(arrays.pop("meta")))
    variables = {
        key.removeprefix("var/"): value for key, value in arrays.items() if key.startswith("var/")
    }
    model = model_from_variables(
        variables,
        ponder_weight=meta["tau"],
        halting_epsilon=meta["eps"],
        dtype=dtype or ("float64" if name.endswith("_f64") else "float32"),
        fused_batch_norm=False,  # rounds otherwise than the authors' statistics
    )
    return GoldenCase(name, arrays, meta, model)
