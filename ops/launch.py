"""Runs a program of this folder, so that Ctrl-C during its imports prints no traceback.

launch.py PROGRAM.py [ARGUMENT...]
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `program.run`; nothing is started before that

import runpy  # noqa: E402
import sys  # noqa: E402

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
