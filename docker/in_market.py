"""Become a command of Dagster's with the instance of the market that the environment names: ``in_market.py COMMAND...``.

The instance lies below the market's folder, whose name the settings decide: an image cannot fix it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from ljwx_pipeline.config import dagster_home, load_settings
from ljwx_pipeline.errors import LjwxError


def main(command: Sequence[str]) -> int:
    """Replace this process by ``command``; return the exit code only where the settings are refused."""
    try:
        os.environ["DAGSTER_HOME"] = str(dagster_home(load_settings()))
    except LjwxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    os.execvp(command[0], list(command))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
