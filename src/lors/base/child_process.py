"""A process that works for the one that started it."""

import multiprocessing
import os
import signal
import threading


def depend_on_parent() -> None:
    """Leave Ctrl-C to the parent to answer; where that is killed, end too, instead of waiting for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
