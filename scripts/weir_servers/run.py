"""The record of one run folder: which servers it holds, their ports, options, processes and addresses.

The record is one JSON file, changed only under its lock and replaced by renaming, so that a command may run beside another, or be killed,
without harm. Every process is in it from the moment it is started.
"""

import contextlib
import json
import os
import pathlib

from . import cache
from .process import Program, alive, spawn


class Run:
    """One run folder."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder.resolve()
        self._file = self.folder / "run.json"

    def open(self) -> None:
        """Makes the folder, and allows servers to be started in it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(self.folder.stat().st_mode | 0o055)  # PostgreSQL runs as another user
        with self.change() as record:
            record["closed"] = False

    def exists(self) -> bool:
        """Whether anything was ever started here."""
        return self._file.exists()

    def read(self) -> dict:
        """The record as it is now."""
        with contextlib.suppress(FileNotFoundError):
            return json.loads(self._file.read_text(encoding="utf-8"))
        return {"closed": True, "servers": {}}

    @contextlib.contextmanager
    def change(self):
        """The record, to be changed in place while the lock is held."""
        with cache.locked(self.folder / "run.lock"):
            record = self.read()
            yield record
            fresh = self._file.with_suffix(".new")
            fresh.write_text(json.dumps(record, indent=1), encoding="utf-8")
            os.replace(fresh, self._file)

    def server(self, name: str) -> dict:
        """What the record says of one server: ports, options, processes, addresses."""
        return self.read()["servers"].get(name, {})

    def note(self, name: str, **facts) -> None:
        """Adds facts to what the record says of a server."""
        with self.change() as record:
            record["servers"].setdefault(name, {}).update(facts)

    def start(self, name: str, program: Program, folder: pathlib.Path) -> None:
        """Starts a program and records it, in one step for everybody else; one that already runs is left alone."""
        with self.change() as record:
            if record["closed"]:
                raise cache.Failed(f"{name}: the run in {self.folder} was stopped")
            processes = record["servers"].setdefault(name, {}).setdefault("processes", {})
            known = processes.get(program.name)
            if known and alive(known["pid"], known["started"]):
                return
            pid, start = spawn(program, folder, folder / f"{program.name}.log")
            processes[program.name] = {"pid": pid, "started": start, "stop": int(program.stop_signal)}

    def processes(self, name: str) -> dict[str, dict]:
        """The processes of a server that are alive."""
        return {program: known for program, known in self.server(name).get("processes", {}).items() if alive(known["pid"], known["started"])}
