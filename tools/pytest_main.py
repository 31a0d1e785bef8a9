"""Entry point of every test under `bazel test`: speaks Bazel's side of pytest.

Bazel hands over where the XML report goes, a filter, a shard and a scratch directory in
environment variables; the source tree is read-only.
"""

import os
import pathlib
import sys

import pytest


class _Shard:
    """Keeps every `total`-th test, from number `index` on."""

    def __init__(self, index: int, total: int):
        self.index = index
        self.total = total

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config, items):
        kept = items[self.index :: self.total]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def main(arguments: list[str]) -> int:
    """Runs pytest on `arguments`; returns its exit code."""
    environment = os.environ
    options = ["-p", "no:cacheprovider", f"--rootdir={os.getcwd()}"]
    if report := environment.get("XML_OUTPUT_FILE"):
        options.append(f"--junitxml={report}")
    if test_filter := environment.get("TESTBRIDGE_TEST_ONLY"):
        options += ["-k", test_filter]
    if scratch := environment.get("TEST_TMPDIR"):
        options.append(f"--basetemp={scratch}/pytest")
        environment.setdefault("HOME", scratch)
        # Keras writes its settings there when it is imported.
        environment.setdefault("KERAS_HOME", f"{scratch}/keras")

    shards = int(environment.get("TEST_TOTAL_SHARDS") or 1)
    plugins = []
    if shards > 1:
        plugins.append(_Shard(int(environment["TEST_SHARD_INDEX"]), shards))
        pathlib.Path(environment["TEST_SHARD_STATUS_FILE"]).touch()

    code = pytest.main(options + arguments, plugins)
    may_be_empty = shards > 1 or test_filter
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and may_be_empty:
        return 0
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
