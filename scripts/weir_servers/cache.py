"""What is downloaded or built once and then shared by every run: jars, binaries, virtual environments.

An entry is a folder `<cache>/<name>-<key>`, where the key is a digest of what it was made from, so a changed version makes a new entry.
It is made in a folder beside it and renamed when it is complete: a download that was cut off is never mistaken for a whole one. A file
lock for each entry lets several runs ask for the same thing at once.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time


def root() -> pathlib.Path:
    """The cache folder: `WEIR_CACHE`, else `weir` in the user's cache folder."""
    if chosen := os.environ.get("WEIR_CACHE"):
        return pathlib.Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "weir"


@contextlib.contextmanager
def locked(path: pathlib.Path):
    """Holds the lock file `path` exclusively; the system frees it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(*parts: str) -> str:
    """A short name for the text that an entry is made from."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def entry(name: str, key: str) -> pathlib.Path:
    """Where the entry stands once it is complete."""
    return root() / f"{name}-{key}"


def ensure(name: str, key: str, make) -> pathlib.Path:
    """The entry's folder, made by `make(folder)` if there is none yet."""
    place = entry(name, key)
    if place.is_dir():
        return place
    with locked(root() / "locks" / f"{name}-{key}"):
        if place.is_dir():
            return place
        begun = time.monotonic()
        say(f"{name}: fetching")
        half = place.with_name(place.name + ".half")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True)
        make(half)
        half.rename(place)
        say(f"{name}: fetched in {time.monotonic() - begun:.0f} s")
    return place


def say(text: str) -> None:
    """Progress goes to standard error; standard output is for addresses."""
    print(text, file=sys.stderr, flush=True)


class Failed(Exception):
    """Something outside did not do what it should; the text is for the user."""


def call(command: list, what: str, env: dict | None = None, **options) -> str:
    """Runs a command to its end and gives its output; a failure shows the last lines of it."""
    environment = {**os.environ, **(env or {})}
    try:
        done = subprocess.run(
            [str(word) for word in command], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", check=False, **options,
        )
    except FileNotFoundError as error:
        raise Failed(f"{what}: there is no `{error.filename}`; `scripts/setup test` installs what is missing") from error
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-25:])
        raise Failed(f"{what}: `{command[0]}` ended with status {done.returncode}\n{tail}")
    return done.stdout
