"""The examples in docstrings of public names: the main ones have one, and all of them run."""

import doctest
import importlib

import pytest

import sact_tf

_MODULES = [
    "sact_tf",
    "sact_tf.budget",
    "sact_tf.checkpoints",
    "sact_tf.data",
    "sact_tf.detection",
    "sact_tf.layers",
    "sact_tf.models",
    "sact_tf.saliency",
]
_MAIN = [
    sact_tf.budget.FlopsBudget,
    sact_tf.budget.calibrate,
    sact_tf.detection.FasterRCNN,
    sact_tf.layers.AdaptiveBlock,
    sact_tf.models.ImageClassifier,
    sact_tf.models.ResNetBackbone,
    sact_tf.set_execution,
]


def _examples():
    """Docstrings with examples, by the names that people import."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {}
    for name in _MODULES:
        module = importlib.import_module(name)
        for public in module.__all__:
            documented = getattr(module, public)
            if getattr(documented, "__module__", "").startswith("sact_tf"):
                for test in finder.find(documented, f"{documented.__module__}.{public}"):
                    if test.examples:
                        found[test.name] = test
    return found


_EXAMPLES = _examples()


@pytest.mark.parametrize("documented", _MAIN, ids=lambda documented: documented.__name__)
def test_main_names_have_an_example(documented):
    assert f"{documented.__module__}.{documented.__name__}" in _EXAMPLES


@pytest.mark.parametrize("name", sorted(_EXAMPLES))
def test_example_runs(name):
    # What an example needs it imports itself: it is to work when it is pasted.
    test = _EXAMPLES[name]
    test.globs = {}
    lines = []
    failures, tried = doctest.DocTestRunner(verbose=False).run(test, out=lines.append)
    assert tried and not failures, "".join(lines)
