"""pytest as `bazel test` targets."""

def pytest_tests(name, size = "enormous", data = [], exclude = [], **kwargs):
    """One target for all tests of a directory, since each target imports TensorFlow anew.

    Args:
        name: name of the target; the directory's own name lets `bazel test //tests/ops` find it.
        size: as py_test has it. The default allows an hour: how long a whole directory takes depends
            on what else the machine does.
        data: further files that the tests read.
        exclude: test files that are no part of the target.
        **kwargs: as py_test has them.
    """
    tests = native.glob(["test_*.py"], exclude = exclude)
    if not tests:
        fail("no test_*.py in " + native.package_name())
    native.py_test(
        name = name,
        size = size,
        srcs = native.glob(["*.py"], exclude = exclude) + ["//tools:pytest_main.py"],
        args = ["$(rootpath %s)" % test for test in tests],
        data = data + [
            "//:pyproject.toml",
            "//configs",
            "//tests:golden",
        ],
        main = "//tools:pytest_main.py",
        deps = [
            "//sact_tf",
            "//tests:support",
            "//train",
        ],
        **kwargs
    )
