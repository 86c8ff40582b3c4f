"""The `agelens` command, and ``python -m agelens``."""

import atexit
import os
import sys
import threading

from agelens.cli import main as run


def main() -> None:
    """Run the command and end the process.

    At its end Python would take apart all that was imported, which takes an eighth of the time of
    one photo (benchmarks/cold_start.py). Nothing needs that: what is written is flushed, and exit
    functions are called. Where a thread is left, Python ends the process as ever.
    """
    try:
        run()
    except SystemExit as done:
        if threading.active_count() > 1 or not isinstance(done.code, int):
            raise
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(done.code)


if __name__ == "__main__":
    main()
