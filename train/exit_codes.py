"""With which code a program ends; docs/operations.md says what to do about each."""

DIVERGED = 1  # Also Python's own for a traceback, which means a bug.
USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells have it.
WORKER_LOST = 69  # EX_UNAVAILABLE of sysexits.h
PREEMPTED = 75  # EX_TEMPFAIL of sysexits.h: the same command goes on.
