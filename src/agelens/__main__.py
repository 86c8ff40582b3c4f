"""The `agelens` command, and ``python -m agelens``."""

import atexit
import os
import sys
import threading

from agelens.cli import main as run


def _run() -> None:
    # OpenBLAS starts a thread for each processor, which only products of large matrices are faster
    # with; no command has any. To be set before numpy and OpenCV are imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    run()


def main() -> None:
    """Run the installed command, and end its process.

    At its end Python would take apart all that was imported, which takes a tenth of the time of
    one photo (research/start.py). Nothing needs that: what is written is flushed, and exit
    functions are called. If another thread is still running, Python ends the process in the usual
    way; so it does after ``python -m agelens``, which may run inside a profiler or a debugger.
    """
    try:
        _run()
    except SystemExit as done:
        if threading.active_count() > 1 or not isinstance(done.code, int):
            raise
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(done.code)


if __name__ == "__main__":
    _run()
