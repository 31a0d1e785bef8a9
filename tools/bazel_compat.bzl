"""Repositories that Bazel 4's built-in WORKSPACE suffix would download for any Python rule.

They hold rules of other languages, which this project does not use; stand-ins that forward to the
native rules let it build where GitHub is out of reach. Only Debian's build of Bazel 4.2.3 gets them:
it reports no version, released Bazels do and fetch the real ones.
"""

_CC_RULES = [
    "cc_binary",
    "cc_import",
    "cc_library",
    "cc_proto_library",
    "cc_test",
    "cc_toolchain",
    "cc_toolchain_suite",
    "objc_library",
]

_JAVA_RULES = [
    "java_binary",
    "java_import",
    "java_library",
    "java_proto_library",
    "java_runtime",
    "java_toolchain",
]

_COVERAGE_BUILD = """
filegroup(name = "coverage_report_generator", visibility = ["//visibility:public"])
filegroup(name = "lcov_merger", visibility = ["//visibility:public"])
"""

def _write_files(repository_ctx):
    for path, content in repository_ctx.attr.files.items():
        repository_ctx.file(path, content)

_stand_in = repository_rule(
    implementation = _write_files,
    attrs = {"files": attr.string_dict()},
)

def _forward(rules):
    return "".join(["%s = native.%s\n" % (rule, rule) for rule in rules])

def bazel_compat_repositories():
    """Declares the stand-ins where they are needed."""
    if native.bazel_version:
        return
    _stand_in(
        name = "rules_cc",
        files = {"WORKSPACE": "", "cc/BUILD": "", "cc/defs.bzl": _forward(_CC_RULES)},
    )
    _stand_in(
        name = "rules_java",
        files = {"WORKSPACE": "", "java/BUILD": "", "java/defs.bzl": _forward(_JAVA_RULES)},
    )
    _stand_in(
        name = "remote_coverage_tools",
        files = {"WORKSPACE": "", "BUILD": _COVERAGE_BUILD},
    )
