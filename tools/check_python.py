"""Says clearly when this interpreter cannot run the pinned packages. Runs on any Python."""

import sys

if not (3, 11) <= sys.version_info[:2] <= (3, 12):
    sys.exit(
        "error: Python 3.11 or 3.12 is needed, {} is {}.{}; "
        "name another one: make PYTHON=python3.12 ...".format(sys.executable, *sys.version_info[:2])
    )
