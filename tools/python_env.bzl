"""A virtual environment with the pinned packages, as Bazel's Python toolchain.

Environment variables:
    SACT_PYTHON: the interpreter that makes the environment (default: python3 on PATH).
    SACT_VENV: a ready environment to use instead; nothing is installed then, and later changes
        inside it are not noticed.
"""

_INSTALL_SECONDS = 3600  # repository_ctx.execute gives up after 600 otherwise.

_BUILD = """
load("@bazel_tools//tools/python:toolchain.bzl", "py_runtime_pair")

package(default_visibility = ["//visibility:public"])

py_runtime(
    name = "runtime",
    files = ["requirements.lock"],
    interpreter = "python3",
    python_version = "PY3",
    stub_shebang = "#!/usr/bin/env python3",
)

py_runtime_pair(
    name = "runtime_pair",
    py3_runtime = ":runtime",
)

toolchain(
    name = "toolchain",
    toolchain = ":runtime_pair",
    toolchain_type = "@bazel_tools//tools/python:toolchain_type",
)
"""

# A symbolic link to the interpreter would lose the environment's pyvenv.cfg.
_INTERPRETER = """#!/bin/sh
exec '%s' "$@"
"""

def _execute(repository_ctx, what, arguments):
    repository_ctx.report_progress(what)
    result = repository_ctx.execute(
        arguments,
        environment = {"PYTHONHOME": "", "PYTHONNOUSERSITE": "1", "PYTHONPATH": ""},
        timeout = _INSTALL_SECONDS,
    )
    if result.return_code != 0:
        fail("python_env: %s failed with code %d\n%s\n%s" % (
            what,
            result.return_code,
            result.stdout[-3000:],
            result.stderr[-3000:],
        ))
    return result.stdout

def _make_environment(repository_ctx, requirements):
    base = repository_ctx.os.environ.get("SACT_PYTHON") or repository_ctx.which("python3")
    if not base:
        fail("python_env: no python3 on PATH; name one in SACT_PYTHON")
    _execute(repository_ctx, "Python version", [base, repository_ctx.path(repository_ctx.attr._check)])
    directory = str(repository_ctx.path("venv"))
    _execute(repository_ctx, "python -m venv", [base, "-m", "venv", directory])
    install = [directory + "/bin/python3", "-m", "pip", "install", "--no-input"]
    install.append("--disable-pip-version-check")
    for path in requirements:
        install += ["-r", path]
    _execute(repository_ctx, "pip install (minutes)", install)
    return directory

def _python_env(repository_ctx):
    # Asking for the paths makes the files inputs: a changed pin makes a new environment.
    requirements = [repository_ctx.path(label) for label in repository_ctx.attr.requirements]
    directory = repository_ctx.os.environ.get("SACT_VENV")
    if not directory:
        directory = _make_environment(repository_ctx, requirements)
    python = directory + "/bin/python3"

    # An input of every test, so that other versions mean other results.
    packages = _execute(repository_ctx, "pip freeze", [python, "-m", "pip", "freeze", "--all"])
    version = _execute(repository_ctx, "python -VV", [python, "-VV"])
    repository_ctx.file("requirements.lock", packages + "# " + version)
    repository_ctx.file("python3", _INTERPRETER % python)
    repository_ctx.file("WORKSPACE", "workspace(name = %r)\n" % repository_ctx.name)
    repository_ctx.file("BUILD", _BUILD)

python_env = repository_rule(
    implementation = _python_env,
    environ = ["SACT_PYTHON", "SACT_VENV"],
    attrs = {
        "requirements": attr.label_list(allow_files = True, mandatory = True),
        "_check": attr.label(default = "//tools:check_python.py", allow_single_file = True),
    },
)
