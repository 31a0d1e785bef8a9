"""The one exception that programs show to people as a single line."""


class UserError(Exception):
    """A mistake of the user: a wrong path, a damaged file, an impossible setting.

    The message says what is wrong, where, and what would be right. Programs print it without a
    traceback and exit with code 2 (`train/program.py`).
    """
