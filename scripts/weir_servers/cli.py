"""The command line of `scripts/servers`."""

import argparse
import concurrent.futures
import getpass
import json
import os
import pathlib
import signal
import sys
import tempfile

from . import cache, lifecycle
from .azurite import Azurite
from .hdfs import Hdfs, Hdfs3, HdfsB, HdfsLate
from .hdfs_ha import HdfsHa
from .hdfs_kerberos import HdfsKerberos, HdfsKerberosB, HdfsKerberosHa, HdfsKerberosIntegrity, HdfsKerberosPrivacy
from .hdfs_zones import HdfsZones
from .hive import Hive
from .kafka import Kafka
from .kdc import Kdc, KdcB
from .kms import Kms
from .postgres import Postgres
from .redis import Redis, RedisCluster, RedisSentinel
from .registry import Registry
from .rest import Rest, RestOnHdfs, RestOnS3
from .run import Run
from .s3 import S3, S3B

OF_HDFS = (Hdfs(), HdfsB(), HdfsLate(), Hdfs3(), HdfsHa(), Kms(), HdfsZones())
SECURED = (Kdc(), KdcB(), HdfsKerberos(), HdfsKerberosIntegrity(), HdfsKerberosPrivacy(), HdfsKerberosB(), HdfsKerberosHa())
OBJECT_STORES = (S3(), S3B(), Azurite())
KEY_VALUE = (Redis(), RedisCluster(), RedisSentinel())
CATALOGS = (Postgres(), Rest(), RestOnS3(), RestOnHdfs(), Hive())
KNOWN = {server.name: server for server in (Kafka(), Registry(), *OF_HDFS, *SECURED, *OBJECT_STORES, *KEY_VALUE, *CATALOGS)}
SCRIPT = pathlib.Path(__file__).resolve().parents[1] / "servers"


def main() -> int:
    """Runs one command; 0 when it did what was asked."""
    arguments = parser().parse_args()
    try:
        arguments.action(arguments)
    except cache.Failed as error:
        print(f"servers: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """All subcommands and their arguments."""
    top = argparse.ArgumentParser(
        prog="scripts/servers", description="Real servers for tests and for trying things out, on free ports of the loopback.",
        epilog=f"Servers: {', '.join(KNOWN)}. Downloads are kept in {cache.root()} (WEIR_CACHE moves it).",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def command(action, summary: str, names: str | None, folder: bool = True) -> argparse.ArgumentParser:
        one = commands.add_parser(action.__name__, help=summary, description=summary)
        one.set_defaults(action=action)
        if names:
            one.add_argument("names", nargs="*", metavar="NAME", help=names)
        if folder:
            one.add_argument("--dir", type=pathlib.Path, default=default_folder(), help="the run folder (default: %(default)s)")
        return one

    command(fetch, "download and build what servers need", "servers (default: all)", folder=False)
    usual = "servers (default: all but special ones); what they need is started too"
    begin = command(start, "start servers, wait until they are ready, and print their addresses", usual)
    begin.add_argument("--json", type=pathlib.Path, help="also write the addresses of all servers of the run to this file")
    begin.add_argument("--parent", type=int, metavar="PID", help="end the servers when this process has ended")
    begin.add_argument("--remove", action="store_true", help="with --parent: delete the run folder then")
    chosen = "servers, or one process of a server (hdfs.datanode)"
    end = command(stop, "stop servers; their data and ports are kept", f"{chosen} (default: all)")
    end.add_argument("--kill", action="store_true", help="with SIGKILL")
    command(pause, "hold servers with SIGSTOP", chosen)
    command(resume, "let paused servers go on", chosen)
    run = command(admin, "run an administrator's command: admin hdfs-ha haadmin -failover nn1 nn2", None)
    run.add_argument("name", metavar="NAME", help="the server")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD", help="the command; options of `servers` itself stand before the name")
    command(reset, "empty servers; those that ran are started again on the same ports", "servers (default: all of the run)")
    show = command(status, "tell what runs, and where", None)
    show.add_argument("--json", action="store_true", help="print the whole record")
    watch = command(guard, "(used by `start --parent`) wait for a process to end, then stop the run", None)
    watch.add_argument("--parent", type=int, required=True)
    watch.add_argument("--started", type=int, required=True)
    watch.add_argument("--remove", action="store_true")
    return top


def default_folder() -> pathlib.Path:
    """Where `make servers` keeps its run."""
    return pathlib.Path(tempfile.gettempdir()) / f"weir-servers-{getpass.getuser()}"


def checked(names: list[str]) -> list[str]:
    """The names asked for, or all; an unknown one is an error."""
    unknown = [name for name in names if name not in KNOWN]
    if unknown:
        raise cache.Failed(f"there is no server `{unknown[0]}`; there are {', '.join(KNOWN)}")
    return names or list(KNOWN)


def fetch(arguments) -> None:
    """Everything at once: the network and the Go compiler keep different parts of the machine busy."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for done in [pool.submit(KNOWN[name].fetch) for name in checked(arguments.names)]:
            done.result()


def start(arguments) -> None:
    usual = [name for name, server in KNOWN.items() if not server.special]
    names, run = checked(arguments.names or usual), Run(arguments.dir)
    run.open()
    if arguments.parent:
        lifecycle.guard(run, SCRIPT, arguments.parent, arguments.remove)
    lifecycle.start(KNOWN, run, names)
    found = {name: server["addresses"] for name, server in run.read()["servers"].items() if "addresses" in server and run.processes(name)}
    if arguments.json:
        half = arguments.json.with_name(arguments.json.name + ".new")
        half.write_text(json.dumps(found, indent=1), encoding="utf-8")
        os.replace(half, arguments.json)
    print_addresses(found)


def stop(arguments) -> None:
    run = existing(arguments)
    lifecycle.stop(run, arguments.names, arguments.kill)


def pause(arguments) -> None:
    lifecycle.signal_all(existing(arguments), arguments.names, signal.SIGSTOP)


def resume(arguments) -> None:
    lifecycle.signal_all(existing(arguments), arguments.names, signal.SIGCONT)


def admin(arguments) -> None:
    name = checked([arguments.name])[0]
    print(lifecycle.admin(KNOWN[name], existing(arguments), arguments.words), end="")


def reset(arguments) -> None:
    print_addresses(lifecycle.reset(KNOWN, existing(arguments), checked(arguments.names) if arguments.names else []))


def status(arguments) -> None:
    run = existing(arguments)
    if arguments.json:
        print(json.dumps(run.read(), indent=1))
        return
    for name, server in run.read()["servers"].items():
        if name == lifecycle.GUARD:
            continue
        alive = run.processes(name)
        states = [f"{program} {state(alive.get(program))}" for program in server.get("processes", {})]
        print(f"{name}: {', '.join(states) or 'never started'}")
        for key, value in server.get("addresses", {}).items():
            print(f"  {key} = {value}")


def guard(arguments) -> None:
    lifecycle.watch(Run(arguments.dir), arguments.parent, arguments.started, arguments.remove)


def existing(arguments) -> Run:
    """The run folder, which must be one."""
    run = Run(arguments.dir)
    if not run.exists():
        raise cache.Failed(f"nothing was started in {run.folder}")
    return run


def state(known: dict | None) -> str:
    """One word and the pid."""
    if known is None:
        return "stopped"
    return f"{'paused' if lifecycle.process.paused(known['pid']) else 'running'} (pid {known['pid']})"


def print_addresses(found: dict[str, dict]) -> None:
    """The addresses, one to a line."""
    for name, addresses in found.items():
        for key, value in addresses.items():
            print(f"{name} {key} = {value}")
