"""Losses of a layer kept apart for each replica of `tf.distribute.MirroredStrategy`."""

import threading


class ReplicaLosses:
    """Mixin: `add_loss` terms belong to the thread, hence to the replica, that added them.

    `MirroredStrategy` traces its replicas as threads that share the layer, and a synchronised
    batch normalization switches between them in the middle of the forward pass. With Keras' one
    list per layer a replica then finds the terms of the others in `losses`, or none.
    """

    @property
    def _losses(self):
        local = self.__dict__.get("_losses_of_thread")
        if local is None:
            local = threading.local()
            object.__setattr__(self, "_losses_of_thread", local)
        if not hasattr(local, "terms"):
            local.terms = []
        return local.terms

    @_losses.setter
    def _losses(self, terms):
        self._losses.clear()
        self._losses.extend(terms)
