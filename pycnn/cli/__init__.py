"""The command line, ``pycnn`` and ``python -m pycnn``: one file per command.

Results go to stdout, progress and errors to stderr. Exit status 0: done; 1: an error; 2: wrong
usage; 130: interrupted.
"""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Run the command line and exit."""
    from pycnn.cli.app import app
    from pycnn.errors import PycnnError

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file name may have any bytes
    try:
        try:
            app(prog_name="pycnn")
        finally:
            sys.stdout.flush()  # here, where its failing can still be reported
    except (PycnnError, ValueError, OSError, MemoryError) as error:
        if isinstance(error, OSError):  # Python flushes once more when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if os.environ.get("PYCNN_VERBOSE") == "1":
            raise
        if not isinstance(error, BrokenPipeError):  # the reader of our output has seen enough
            print(f"pycnn: error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
