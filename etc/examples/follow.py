#!/usr/bin/env python3
"""A job in Python, with nothing but the standard library: counts the lines of a growing file.

usage: follow.py FILE

The state is the count and the place up to which FILE was read, as JSON in GRACEFUL_STATE (by hand:
follow.py.state). A FILE that is renamed to FILE.1 and made anew is read to its end first. For more
ways in which logs are rotated see tally.c.
"""

import json
import os
import select
import signal
import socket
import sys

STATE = os.environ.get("GRACEFUL_STATE", "follow.py.state")
DUMP_LINES = 10000  # between two dumps on the way
LOOK_SECONDS = 0.25  # between two looks at a file that does not grow; Python has no inotify


class Signals:
    """Signals become flags; and they wake select(), also if they came just before it."""

    def __init__(self):
        self.stop = False
        self.checkpoint = False
        self.wake, write = socket.socketpair()
        self.wake.setblocking(False)
        write.setblocking(False)
        self._write = write  # the interpreter knows only its number: keep it open
        signal.set_wakeup_fd(write.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGUSR1, self._on_checkpoint)

    def _on_stop(self, _number, _frame):
        self.stop = True

    def _on_checkpoint(self, _number, _frame):
        self.checkpoint = True

    def wait(self, seconds):
        if select.select([self.wake], [], [], seconds)[0]:
            self.wake.recv(4096)


def notify(text):
    """One datagram to NOTIFY_SOCKET; a job goes on if nobody hears it."""
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return
    if name.startswith("@"):
        name = "\0" + name[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.settimeout(1)
            s.sendto(text.encode(), name)
    except OSError as e:
        print(f"NOTIFY_SOCKET: {e}", file=sys.stderr)


def load():
    """The state, or a new one. A state that cannot be used ends the job: no silent new start."""
    try:
        with open(STATE, encoding="utf-8") as f:
            state = json.load(f)
        return {key: int(state[key]) for key in ("inode", "offset", "lines")}
    except FileNotFoundError:
        if os.environ.get("GRACEFUL_RESTORED", "none") != "none":
            sys.exit(f"{STATE}: is said to be there, and is not")
        return {"inode": 0, "offset": 0, "lines": 0}
    except (OSError, ValueError, KeyError, TypeError) as e:
        sys.exit(f"{STATE}: not a state of follow.py: {e!r}")


def dump(state):
    """Replaces the state file, all or nothing."""
    with open(STATE + ".tmp", "w", encoding="utf-8") as f:
        json.dump(state, f)
        f.flush()
        os.fsync(f.fileno())
    os.replace(STATE + ".tmp", STATE)
    notify(f"STATUS={state['lines']} lines")


def open_at(path, state):
    """The file that was read last, or its successor from the start; None if there is none yet."""
    for name in (path, path + ".1"):
        try:
            f = open(name, "rb")
        except FileNotFoundError:
            continue
        if os.fstat(f.fileno()).st_ino == state["inode"]:
            f.seek(state["offset"])
            return f
        f.close()
    return start_anew(path, state)


def start_anew(path, state):
    try:
        f = open(path, "rb")
    except FileNotFoundError:
        return None
    state["inode"] = os.fstat(f.fileno()).st_ino
    state["offset"] = 0
    return f


def was_replaced(path, state):
    """Only a new file with content counts: until then its writer may still write to the old one."""
    try:
        st = os.stat(path)
    except FileNotFoundError:
        return False
    return st.st_ino != state["inode"] and st.st_size > 0


def count(f, state, signals):
    """Counts the complete lines that are there, until asked to stop."""
    f.seek(state["offset"])
    dumped = state["lines"]
    while not signals.stop:
        line = f.readline()
        if not line.endswith(b"\n"):
            return
        state["offset"] += len(line)
        state["lines"] += 1
        if state["lines"] - dumped >= DUMP_LINES:
            dump(state)
            dumped = state["lines"]


def follow(path, state, signals):
    f = open_at(path, state)
    while not signals.stop:
        # Looked at before the old file is read to its end, so that nothing of that is missed.
        replaced = was_replaced(path, state)
        if f:
            count(f, state, signals)
        if signals.checkpoint:
            signals.checkpoint = False
            dump(state)
        if (replaced or f is None) and not signals.stop:
            if f:
                f.close()
            f = start_anew(path, state)
        if not replaced and not signals.stop:
            signals.wait(LOOK_SECONDS)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        sys.exit(64)
    signals = Signals()
    state = load()
    notify(f"READY=1\nSTATUS={state['lines']} lines")
    follow(sys.argv[1], state, signals)
    notify("STOPPING=1")
    dump(state)
    print(f"stopped at {state['lines']} lines")


if __name__ == "__main__":
    main()
