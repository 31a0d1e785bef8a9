"""The inner training loop of a classifier."""

from collections.abc import Callable

import keras
import orbit
import tensorflow as tf

import sact_tf

LOSS_PARTS = ("cross_entropy", "ponder_loss", "weight_decay")


class TrainingDiverged(Exception):
    """The loss, a gradient or a weight is NaN or infinite."""

    def __init__(self, step: int, what: str):
        super().__init__(f"{what} is NaN or infinite at step {step}")
        self.step = step
        self.what = what


class ClassificationTrainer(orbit.StandardTrainer):
    """Minimizes cross entropy + ponder loss + weight decay.

    Args:
        model: an `ImageClassifier`.
        optimizer: built for the model's trainable variables.
        learning_rate: the optimizer's schedule, a function of the step.
        dataset: endless batches of `image` and `label`.
        step: int64 variable, counts the steps.
        label_smoothing: share of the target spread evenly over the classes.
        controller: `BudgetController` that steers the FLOPs of training, or None.
    """

    def __init__(
        self,
        model,
        optimizer,
        learning_rate: Callable,
        dataset,
        step: tf.Variable,
        label_smoothing: float = 0.0,
        controller=None,
    ):
        super().__init__(dataset)
        self.model = model
        self.optimizer = optimizer
        self.step = step
        self._learning_rate = learning_rate
        self._label_smoothing = label_smoothing
        self._controller = controller
        if controller is not None:
            # A restored controller has moved on from the config's tau.
            sact_tf.set_ponder_weight(model, controller.ponder_weight)
        height, width = dataset.element_spec["image"].shape[1:3]
        self._plain_flops = model.plain_flops(height, width)
        names = ["loss", *LOSS_PARTS, "accuracy", "gradient_norm", "flops_ratio"]
        for block in model.backbone.block_names:
            names += [f"num_units/{block}", f"ponder_cost/{block}"]
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        # -1 while everything is finite. A check per step inside the loop; read once per loop.
        self._first_bad_step = tf.Variable(-1, dtype=tf.int64, trainable=False)
        self._weights_are_finite = tf.function(self._check_weights)

    def train_loop_begin(self):
        for mean in self._means.values():
            mean.reset_state()

    def train_step(self, iterator):
        batch = next(iterator)
        images, labels = batch["image"], batch["label"]
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            outputs = self.model.forward(images, training=True)
            parts = {
                "cross_entropy": tf.reduce_mean(
                    cross_entropy(outputs["logits"], labels, self._label_smoothing)
                ),
                "ponder_loss": outputs["ponder_loss"],
                "weight_decay": sact_tf.weight_decay_loss(self.model),
            }
            loss = tf.add_n([tf.cast(part, tf.float32) for part in parts.values()])
        gradients = tape.gradient(loss, variables)
        gradient_norm = tf.linalg.global_norm(gradients)
        finite = tf.math.is_finite(loss) & tf.math.is_finite(gradient_norm)
        self._first_bad_step.assign(
            tf.where((self._first_bad_step < 0) & ~finite, self.step + 1, self._first_bad_step)
        )
        self.optimizer.apply_gradients(zip(gradients, variables, strict=True))
        self.step.assign_add(1)
        if self._controller is not None:
            share = tf.reduce_mean(tf.cast(outputs["flops"], tf.float64)) / self._plain_flops
            self._controller.apply(self.model, share)
        self._update_means(outputs, labels, {**parts, "loss": loss}, gradient_norm)

    def train_loop_end(self):
        """Returns the means over the loop.

        Raises:
            TrainingDiverged: before anything of the diverged state is written.
        """
        bad_step = int(self._first_bad_step)
        if bad_step >= 0:
            raise TrainingDiverged(bad_step, "the loss or its gradient")
        if not bool(self._weights_are_finite()):
            raise TrainingDiverged(int(self.step), "a weight")
        result = {name: float(mean.result()) for name, mean in self._means.items()}
        # The rate that the last step of the loop was made with.
        result["learning_rate"] = float(self._learning_rate(int(self.step) - 1))
        if self._controller is not None:
            result["ponder_weight"] = float(self._controller.ponder_weight)
        return result

    def _update_means(self, outputs, labels, losses, gradient_norm):
        for name, value in losses.items():
            self._means[name].update_state(value)
        self._means["gradient_norm"].update_state(gradient_norm)
        correct = tf.equal(tf.argmax(outputs["logits"], axis=-1, output_type=tf.int32), labels)
        self._means["accuracy"].update_state(tf.cast(correct, tf.float32))
        flops = tf.cast(outputs["flops"], tf.float64)
        self._means["flops_ratio"].update_state(flops / self._plain_flops)
        for block, halting in outputs["halting"].items():
            self._means[f"num_units/{block}"].update_state(halting["num_units"])
            self._means[f"ponder_cost/{block}"].update_state(halting["ponder_cost"])

    def _check_weights(self):
        finite = [tf.reduce_all(tf.math.is_finite(weight)) for weight in self.model.weights]
        return tf.reduce_all(tf.stack(finite))


def cross_entropy(logits, labels, label_smoothing: float = 0.0):
    """Cross entropy per image [B], with the target smoothed over all classes."""
    num_classes = logits.shape[-1]
    logits = tf.cast(logits, tf.float32)
    if not label_smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    targets = tf.one_hot(
        labels,
        num_classes,
        on_value=1.0 - label_smoothing + label_smoothing / num_classes,
        off_value=label_smoothing / num_classes,
    )
    return tf.nn.softmax_cross_entropy_with_logits(labels=targets, logits=logits)
