"""Which training example stands at which place of the endless stream of examples."""

import threading

import numpy as np


class ExampleOrder:
    """One random permutation of the examples per epoch, each from (seed, epoch) alone.

    Only the permutations in use are kept, so that the place to start costs nothing.

    Args:
        num_examples: examples per epoch.
        seed: int >= 0.
    """

    def __init__(self, num_examples: int, seed: int):
        self.num_examples = num_examples
        self.seed = seed
        self._permutations: dict[int, np.ndarray] = {}
        self._lock = threading.Lock()

    def __call__(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Finds the examples of some positions of the stream.

        Args:
            positions: int64 [N].

        Returns:
            epochs: int64 [N].
            examples: int64 [N], in 0 ... num_examples - 1.
        """
        epochs, places = np.divmod(np.asarray(positions, np.int64), self.num_examples)
        examples = np.empty_like(places)
        for epoch in np.unique(epochs):
            chosen = epochs == epoch
            examples[chosen] = self._permutation(int(epoch))[places[chosen]]
        return epochs, examples

    def _permutation(self, epoch: int) -> np.ndarray:
        with self._lock:
            if epoch not in self._permutations:
                # Reading ahead in parallel touches two epochs at their border, never three.
                for old in sorted(self._permutations)[:-1]:
                    del self._permutations[old]
                generator = np.random.default_rng([self.seed, epoch])
                self._permutations[epoch] = generator.permutation(self.num_examples)
            return self._permutations[epoch]
