"""Single processes: started in a session of their own, known by pid and start time, and only ever signalled as such.

A pid alone may belong to somebody else by the time it is used, so every signal goes through a pid file descriptor that was compared with
the recorded start time first.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
import subprocess
import time


_children: list[subprocess.Popen] = []  # they outlive this program, and Python warns of a child that is forgotten


@dataclasses.dataclass(frozen=True)
class Program:
    """A program to start: one process of a server."""

    name: str
    command: list
    env: dict = dataclasses.field(default_factory=dict)
    user: str | None = None
    stop_signal: int = signal.SIGTERM


def started(pid: int) -> int | None:
    """The start time of a process in clock ticks since boot; none if it is gone or only waits to be reaped."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid: int, start: int) -> bool:
    """Whether the process that was started then still runs."""
    return started(pid) == start


def paused(pid: int) -> bool:
    """Whether a process is stopped by SIGSTOP."""
    try:
        return "\nState:\tT" in pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def spawn(program: Program, folder: pathlib.Path, log: pathlib.Path) -> tuple[int, int]:
    """Starts a program in a new session and gives its pid and start time."""
    identity = {}
    if program.user:
        identity = {"user": program.user, "group": program.user, "extra_groups": []}
    with open(log, "ab") as output:
        child = subprocess.Popen(
            [str(word) for word in program.command], cwd=folder, env={**os.environ, **program.env}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **identity,
        )
    _children.append(child)
    start = started(child.pid)
    return child.pid, -1 if start is None else start  # -1: it is gone already, and no process has that start time


def send(pid: int, start: int, number: int) -> bool:
    """Sends a signal to exactly the process that was started then; false if it is gone."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if started(pid) != start:
            return False
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def send_family(pid: int, start: int, number: int) -> None:
    """Sends a signal to a process and all that stand below it: the leader first, so that it starts no others."""
    if not send(pid, start, number):
        return
    for child in descendants(pid):
        if (begun := started(child)) is not None:
            send(child, begun, number)


def descendants(pid: int) -> list[int]:
    """All processes below `pid` at this moment."""
    children: dict[int, list[int]] = {}
    for folder in pathlib.Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(folder.name))
    found, ahead = [], [pid]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += below
    return found


def end(pid: int, start: int, number: int, patience: float) -> None:
    """Asks a process to end; kills it and its children when it has not after `patience` seconds."""
    family = [(child, begun) for child in descendants(pid) if (begun := started(child)) is not None]
    if number == signal.SIGKILL:
        send_family(pid, start, signal.SIGKILL)
    else:
        send(pid, start, number)
        send_family(pid, start, signal.SIGCONT)  # one that is paused could not obey
    if wait_end(pid, start, patience):
        for child, begun in family:  # children that outlived it are still ours
            send(child, begun, number)
        return
    for child, begun in [(pid, start), *family]:
        send(child, begun, signal.SIGKILL)
    wait_end(pid, start, 10)


def wait_end(pid: int, start: int, seconds: float) -> bool:
    """Waits until a process is gone; false when it is not after that time."""
    deadline = time.monotonic() + seconds
    while alive(pid, start):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
