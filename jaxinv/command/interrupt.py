"""Ctrl-C at any moment: one line that says what is kept and how to go on, then the end, with exit code 130.

Python hands a signal to its main thread, which may be inside a compiled program for minutes; an exception there would
surface wherever it can, or not at all. So a thread of its own waits for the signal and ends the process. Cells that
finished within the last second may wait for others to share a file with; nothing else is lost by that: whatever is
written is written aside and renamed when it is whole.
"""

import io
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Collection
from pathlib import Path

_kept = "what was finished before is kept"
_half_written: Collection[Path] = ()


def note(kept: str, half_written: Collection[Path]) -> None:
    """Have an interrupt from now on say that `kept`, and remove the files that are in `half_written` by then."""
    global _kept, _half_written
    _kept, _half_written = kept, half_written


def watch() -> None:
    """Answer Ctrl-C in this process from now on. Called by the command alone, from the main thread."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what was said is not lost with the process
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, lambda *_: None)
    threading.Thread(target=_wait, args=(reader, writer), daemon=True).start()


def _wait(reader: socket.socket, writer: socket.socket) -> None:
    while reader.recv(1) != bytes([signal.SIGINT]):
        pass
    terminal, errors, nowhere = os.dup(1), os.dup(2), os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # the main thread goes on for a moment, unheard
        os.dup2(nowhere, stream)
    if os.isatty(terminal):
        os.write(terminal, b"\x1b[?25h\n")  # a progress bar hides the cursor; end its line
    os.write(errors, f"jaxinv: interrupted; {_kept}; go on with: {shlex.join(sys.argv)}\n".encode())
    for half in tuple(_half_written):
        half.unlink(missing_ok=True)
    os._exit(130)
