"""With which code a program ends; docs/operations.md says what to do about each."""

from sact_tf import command_line

SKIPPED = 1  # Done, without the images that could not be read.
DIVERGED = 1  # Also Python's own for a traceback, which means a bug.
USER_ERROR = command_line.USER_ERROR_CODE
INTERRUPTED = command_line.INTERRUPTED_CODE
WORKER_LOST = 69  # EX_UNAVAILABLE of sysexits.h
PREEMPTED = 75  # EX_TEMPFAIL of sysexits.h: the same command goes on.
