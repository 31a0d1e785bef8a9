"""Non-maximum suppression as ONNX has it, in place of TensorFlow's combined one.

B images, N boxes, C classes, T results of an image at most.
"""

from typing import Any

import numpy as np

OPERATION = "CombinedNonMaxSuppression"


def convert_suppression(ctx: Any, node: Any, name: str, args: Any) -> None:
    """A custom handler of tf2onnx for `sact_tf.detection.geometry.boxes.non_max_suppression`.

    Every class of an image is one batch entry of ONNX's operation, for each has boxes of its own.
    What it keeps is put back among the scores, of which each image's T highest are taken.

    Args:
        ctx: tf2onnx's graph.
        node: the operation, with boxes [B, N, C, 4] and scores [B, N, C].
        name, args: of tf2onnx, not read.
    """
    del args
    boxes, scores, per_class, total, iou, threshold = node.input
    made = _Maker(ctx, name)
    number = made.integers("count", [int(ctx.get_node_by_output(total).get_tensor_value())])
    shape = made("Shape", boxes)
    batch, count, classes = (made.element(shape, axis) for axis in range(3))
    wide = made("Mul", count, classes)
    # [B, N, C, ...] -> [B, C, N, ...], then one batch entry for each class of an image.
    by_class = made("Transpose", boxes, perm=[0, 2, 1, 3])
    scores = made("Transpose", scores, perm=[0, 2, 1])
    selected = made(
        "NonMaxSuppression",
        made("Reshape", by_class, made.integers("boxes", [-1, 0, 4], count, at=1)),
        made("Reshape", scores, made.integers("scores", [-1, 1, 0], count, at=2)),
        made("Cast", made("Reshape", per_class, made.integers("one", [1])), to=_INT64),
        made("Reshape", iou, made.integers("one", [1])),
        made("Reshape", threshold, made.integers("one", [1])),
    )
    where = made("Gather", selected, made.integers("entry_and_box", [0, 2]), axis=1)
    flat = made("Reshape", scores, made.integers("flat", [-1, 0], count, at=1))
    none = made("Sub", made("Mul", flat, made.float("zero", 0.0)), made.float("one_float", 1.0))
    kept = made("ScatterND", none, where, made("GatherND", flat, where))
    kept = made("Reshape", kept, made("Concat", batch, wide, axis=0))
    # So that there are T to take.
    room = made("Expand", made.float("minus", -1.0), made("Concat", batch, number, axis=0))
    values, index = made("TopK", made("Concat", kept, room, axis=1), number, outputs=2, axis=1)
    exists = made("Greater", values, made.float("half", -0.5))
    first = made("Where", exists, index, made.integers("nothing", [0]))
    every = made("Reshape", by_class, made("Concat", batch, wide, made.integers("4", [4]), axis=0))
    last = made.integers("last", [-1])
    chosen = made("GatherND", every, made("Unsqueeze", first, last), batch_dims=1)
    zero = made.float("zero", 0.0)
    results = [
        made("Where", made("Unsqueeze", exists, last), chosen, zero),
        made("Where", exists, values, zero),
        made("Cast", made("Div", first, count), to=_FLOAT),
        made("Cast", made("ReduceSum", made("Cast", exists, to=_INT64),
                          made.integers("axis", [1]), keepdims=0), to=_INT32),
    ]  # fmt: skip
    for old, new in zip(list(node.output), results, strict=True):
        ctx.replace_all_inputs(old, new)
    ctx.remove_node(node.name)


_FLOAT, _INT32, _INT64 = 1, 6, 7  # of onnx.TensorProto


class _Maker:
    """Makes nodes and constants of a tf2onnx graph; what it returns are names of outputs."""

    def __init__(self, ctx, name):
        self.ctx, self.name, self.made = ctx, name, 0

    def __call__(self, operation, *inputs, outputs=1, **attributes):
        node = self.ctx.make_node(operation, list(inputs), attr=attributes, output_count=outputs)
        return node.output[0] if outputs == 1 else node.output

    def float(self, name, value):
        return self._constant(name, np.array(value, np.float32))

    def integers(self, name, values, instead=None, at=0):
        """A vector; `instead` takes the place of one number."""
        if instead is None:
            return self._constant(name, np.array(values, np.int64))
        parts = [self._constant(name, np.array([value], np.int64)) for value in values]
        parts[at] = instead
        return self("Concat", *parts, axis=0)

    def element(self, vector, index):
        """[1], one number of a vector."""
        return self(
            "Gather", vector, self._constant("element", np.array([index], np.int64)), axis=0
        )

    def _constant(self, name, value):
        self.made += 1
        return self.ctx.make_const(f"{self.name}/{name}_{self.made}", value).output[0]
