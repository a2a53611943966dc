"""The command line, ``pycnn`` and ``python -m pycnn``: one file per command.

Results go to stdout, progress and errors to stderr. Exit status 0: done; 1: an error; 2: wrong
usage; 130: interrupted.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit."""
    from pycnn.cli.app import app
    from pycnn.errors import PycnnError

    try:
        app(prog_name="pycnn")
    except (PycnnError, ValueError, MemoryError) as error:
        if os.environ.get("PYCNN_VERBOSE") == "1":
            raise
        print(f"pycnn: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
