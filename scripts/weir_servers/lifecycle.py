"""Starting, stopping, pausing and resetting the servers of a run folder."""

import concurrent.futures
import contextlib
import pathlib
import shutil
import signal
import sys
import time

from . import cache, ports, process
from .process import Program
from .run import Run
from .server import Server, Site

READY_SECONDS = 150
STOP_SECONDS = 30
GUARD = "guard"  # the name under which the process that watches a parent is recorded


def with_needs(known: dict[str, Server], names: list[str]) -> list[str]:
    """The names and all they need, each once, needs first."""
    ordered: list[str] = []
    for name in names:
        for one in (*with_needs(known, list(known[name].needs)), name):
            if one not in ordered:
                ordered.append(one)
    return ordered


def start(known: dict[str, Server], run: Run, names: list[str]) -> dict[str, dict]:
    """Starts servers and what they need side by side, waits until all are ready, and gives their addresses."""
    ordered = with_needs(known, names)
    failed: list[str] = []
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(ordered)) as pool:
        begun: dict[str, concurrent.futures.Future] = {}
        for name in ordered:
            begun[name] = pool.submit(_start_one, known[name], run, {need: begun[need] for need in known[name].needs})
        for future in begun.values():
            try:
                future.result()
            except cache.Failed as error:
                if str(error) not in failed:
                    failed.append(str(error))
    if failed:
        raise cache.Failed("\n".join(failed))
    return {name: future.result() for name, future in begun.items()}


def _start_one(server: Server, run: Run, needs: dict[str, concurrent.futures.Future]) -> dict[str, str]:
    server.fetch()
    peers = {name: future.result() for name, future in needs.items()}
    # Another command may be starting the same server, for itself or as what another one needs.
    with cache.locked(run.folder / f"{server.name}.lock"):
        begun = time.monotonic()
        site = Site(run.folder / server.name, run.server(server.name).get("ports") or _new_ports(server), peers)
        run.note(server.name, ports=site.ports)
        site.folder.mkdir(exist_ok=True)
        fresh = not run.processes(server.name)
        if fresh:
            server.prepare(site)
        for program in server.programs(site):
            run.start(server.name, program, site.folder)
        _await_ready(server, run, site)
        server.settle(site)
        addresses = server.addresses(site)
        run.note(server.name, addresses=addresses)
    if fresh:
        cache.say(f"{server.name}: ready in {time.monotonic() - begun:.1f} s")
    return addresses


def _new_ports(server: Server) -> dict[str, int]:
    return dict(zip(server.port_names, ports.pick(len(server.port_names)), strict=True))


def _await_ready(server: Server, run: Run, site: Site) -> None:
    deadline = time.monotonic() + READY_SECONDS
    wanted = {program.name for program in server.programs(site)}
    last = "no answer"
    while True:
        dead = wanted - run.processes(server.name).keys()
        if dead:
            raise cache.Failed(f"{server.name}: `{min(dead)}` ended before it was ready\n{_log_tail(site.folder / f'{min(dead)}.log')}")
        try:
            if server.ready(site):
                return
        except (OSError, ValueError) as error:
            last = str(error)
        if time.monotonic() > deadline:
            tails = "\n".join(_log_tail(log) for log in sorted(site.folder.glob("*.log")))
            raise cache.Failed(f"{server.name}: not ready after {READY_SECONDS} s ({last})\n{tails}")
        time.sleep(0.1)


def _log_tail(log: pathlib.Path, lines: int = 30) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    return f"(no log {log.name})"


def select(run: Run, choice: str) -> dict[tuple[str, str], dict]:
    """The live processes that `server` or `server.process` names."""
    name, _, program = choice.partition(".")
    if name not in run.read()["servers"]:
        raise cache.Failed(f"`{name}` was never started in {run.folder}")
    return {(name, one): known for one, known in run.processes(name).items() if program in ("", one)}


def stop(run: Run, choices: list[str], kill: bool = False) -> None:
    """Ends the chosen processes, or all of them and the guard; each is waited for."""
    if not choices:
        with run.change() as record:
            record["closed"] = True
        choices = [name for name in run.read()["servers"] if name != GUARD]
        choices += [GUARD] if GUARD in run.read()["servers"] else []
    victims = [known for choice in choices for known in select(run, choice).values()]

    def end(known: dict) -> None:
        process.end(known["pid"], known["started"], signal.SIGKILL if kill else known["stop"], STOP_SECONDS)

    with concurrent.futures.ThreadPoolExecutor(max_workers=len(victims) or 1) as pool:
        list(pool.map(end, victims))  # the list raises what a thread raised


def signal_all(run: Run, choices: list[str], number: int) -> None:
    """Sends a signal, such as SIGSTOP, to the chosen processes and what stands below them."""
    for choice in choices:
        chosen = select(run, choice)
        if not chosen:
            raise cache.Failed(f"`{choice}` does not run")
        for known in chosen.values():
            process.send_family(known["pid"], known["started"], number)


def admin(server: Server, run: Run, words: list[str]) -> str:
    """Runs an administrator's command on a server that was started."""
    record = run.read()["servers"]
    if "addresses" not in record.get(server.name, {}):
        raise cache.Failed(f"`{server.name}` was never started in {run.folder}")
    peers = {need: record[need]["addresses"] for need in server.needs}
    return server.admin(Site(run.folder / server.name, record[server.name]["ports"], peers), words)


def reset(known: dict[str, Server], run: Run, names: list[str]) -> dict[str, dict]:
    """Empties servers: stops them, deletes their data, and starts again, on the ports they had, those that ran."""
    names = names or [name for name in run.read()["servers"] if name in known]
    ran = [name for name in names if run.processes(name)]
    if names:
        stop(run, names, kill=True)
    for name in names:
        shutil.rmtree(run.folder / name, ignore_errors=True)
    return start(known, run, ran) if ran else {}


def guard(run: Run, script: pathlib.Path, parent: int, remove: bool) -> None:
    """Starts the process that stops this run when `parent` has ended; one is enough."""
    begun = process.started(parent)
    if begun is None:
        raise cache.Failed(f"there is no process {parent} to wait for")
    command = [sys.executable, script, "guard", "--dir", run.folder, "--parent", parent, "--started", begun, *(["--remove"] if remove else [])]
    run.start(GUARD, Program(GUARD, command), run.folder)


def watch(run: Run, parent: int, begun: int, remove: bool) -> None:
    """What the guard does: waits for the parent's end, then kills every server of the run, and deletes its folder if told so."""
    while process.alive(parent, begun):
        time.sleep(0.3)
    with run.change() as record:
        record["closed"] = True
        record["servers"].pop(GUARD, None)  # it must not stop itself first
    stop(run, [], kill=True)
    if remove:
        shutil.rmtree(run.folder, ignore_errors=True)
