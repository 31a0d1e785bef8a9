"""pytest as `bazel test` targets."""

def pytest_tests(name, size = "enormous", data = [], deps = [], exclude = [], **kwargs):
    """One target for all tests of a directory, since each target imports TensorFlow anew.

    The other modules of the directory are the library `helpers`, for tests of other directories.

    Args:
        name: name of the target; the directory's own name lets `bazel test //tests/ops` find it.
        size: as py_test has it. The default allows an hour: how long a whole directory takes depends
            on what else the machine does.
        data: further files that the tests read.
        deps: the helpers of other directories that the tests import.
        exclude: test files that are no part of the target.
        **kwargs: as py_test has them.
    """
    tests = native.glob(["test_*.py"], exclude = exclude)
    if not tests:
        fail("no test_*.py in " + native.package_name())
    native.py_library(
        name = "helpers",
        testonly = True,
        srcs = native.glob(["*.py"], exclude = ["test_*.py"]),
        visibility = ["//tests:__subpackages__"],
    )

    # conftest.py is one of those of the top directory.
    helpers = depset(["//tests:helpers", "//%s:helpers" % native.package_name()]).to_list()
    native.py_test(
        name = name,
        size = size,
        srcs = tests + ["//tools:pytest_main.py"],
        args = ["$(rootpath %s)" % test for test in tests],
        data = data + [
            "//:pyproject.toml",
            "//configs",
            "//tests:golden",
        ],
        main = "//tools:pytest_main.py",
        deps = deps + helpers + [
            "//sact_tf",
            "//train",
        ],
        **kwargs
    )
