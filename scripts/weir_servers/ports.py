"""Free ports of the loopback, chosen so that runs side by side do not clash and a server can come back on the port it had.

They are taken from below the range that the system uses for outgoing connections, and a port that was handed out within the last
minutes is not handed out again even if nothing listens on it yet.
"""

import contextlib
import json
import random
import socket
import time

from . import cache

LOWEST, HIGHEST = 20_000, 32_000
HELD_SECONDS = 900


def pick(count: int) -> list[int]:
    """That many ports on which nothing listens and which no other run was given lately."""
    record = cache.root() / "ports.json"
    with cache.locked(cache.root() / "locks" / "ports"):
        given = {}
        with contextlib.suppress(OSError, ValueError):
            given = {int(port): when for port, when in json.loads(record.read_text()).items()}
        now = time.time()
        given = {port: when for port, when in given.items() if now - when < HELD_SECONDS}
        chosen: list[int] = []
        for port in random.sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST):
            if len(chosen) == count:
                break
            if port not in given and is_free(port):
                chosen.append(port)
        if len(chosen) < count:
            raise cache.Failed(f"no {count} free ports between {LOWEST} and {HIGHEST}")
        given.update(dict.fromkeys(chosen, now))
        record.write_text(json.dumps(given))
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
