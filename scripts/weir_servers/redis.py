"""Redis, as installed on this machine: one server with TLS and users, a cluster of three nodes, and a master that a sentinel watches."""

import pathlib
import shutil
import socket
import time

from . import cache, certificates
from .process import Program
from .server import Server, Site

PASSWORD = "redis-secret"
# The one who may touch nothing but keys that begin with `app:`.
USER, USER_PASSWORD, USER_PREFIX = "app", "app-secret", "app:"
MASTER = "weir"
PATIENCE = 60


class Redis(Server):
    """One server, plain and with TLS. Nobody comes in without a password."""

    name = "redis"
    port_names = ("port", "tls")

    def fetch(self) -> None:
        binary("redis-server")
        binary("redis-cli")

    def prepare(self, site: Site) -> None:
        tls = certificates.made_in(site.folder / "tls")
        lines = [
            *common(site.ports["port"], site.folder), f"requirepass {PASSWORD}", f"user {USER} on >{USER_PASSWORD} ~{USER_PREFIX}* +@all -@dangerous",
            f"tls-port {site.ports['tls']}", f"tls-cert-file {tls.server}", f"tls-key-file {tls.server}", f"tls-ca-cert-file {tls.authority}",
            "tls-auth-clients no",
        ]
        (site.folder / "redis.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def programs(self, site: Site) -> list[Program]:
        return [Program("server", [binary("redis-server"), site.folder / "redis.conf"])]

    def ready(self, site: Site) -> bool:
        return ask(site.ports["port"], "AUTH", PASSWORD) == "+OK"

    def addresses(self, site: Site) -> dict[str, str]:
        ca = str(certificates.made_in(site.folder / "tls").authority)
        user = {"username": USER, "user_password": USER_PASSWORD, "user_prefix": USER_PREFIX}
        return {"port": site.ports["port"], "tls_port": site.ports["tls"], "password": PASSWORD, "ca": ca, **user}


class RedisCluster(Server):
    """Three masters without replicas, among which the slots are spread evenly at first."""

    name = "redis-cluster"
    nodes = ("node-1", "node-2", "node-3")
    port_names = (*nodes, *(f"{node}-bus" for node in nodes))

    def fetch(self) -> None:
        binary("redis-server")
        binary("redis-cli")

    def prepare(self, site: Site) -> None:
        for node in self.nodes:
            folder = site.folder / node
            folder.mkdir(exist_ok=True)
            lines = [
                *common(site.ports[node], folder), "cluster-enabled yes", "cluster-config-file nodes.conf", f"cluster-port {site.ports[node + '-bus']}",
                "cluster-node-timeout 15000",
            ]
            (folder / "redis.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def programs(self, site: Site) -> list[Program]:
        return [Program(node, [binary("redis-server"), site.folder / node / "redis.conf"]) for node in self.nodes]

    def ready(self, site: Site) -> bool:
        return all(ask(site.ports[node], "PING") == "+PONG" for node in self.nodes)

    def settle(self, site: Site) -> None:
        first = site.ports[self.nodes[0]]
        if "cluster_slots_assigned:0" in cli(first, "CLUSTER", "INFO"):
            nodes = [f"127.0.0.1:{site.ports[node]}" for node in self.nodes]
            cli(first, "--cluster", "create", *nodes, "--cluster-replicas", "0", "--cluster-yes")
        deadline = time.monotonic() + PATIENCE
        while any("cluster_state:ok" not in cli(site.ports[node], "CLUSTER", "INFO") for node in self.nodes):
            if time.monotonic() > deadline:
                raise cache.Failed(f"redis-cluster: its nodes do not agree within {PATIENCE} s")
            time.sleep(0.1)

    def admin(self, site: Site, words: list[str]) -> str:
        """`move-slot 12182 node-2`: with the keys in it, to another node."""
        if len(words) != 3 or words[0] != "move-slot":
            raise cache.Failed("redis-cluster: the command is `move-slot SLOT NODE`")
        ids = {node: cli(site.ports[node], "CLUSTER", "MYID").strip() for node in self.nodes}
        owners = {node: owned(cli(site.ports[node], "CLUSTER", "NODES")) for node in self.nodes}
        slot, target = int(words[1]), words[2]
        if any(first <= slot <= last for first, last in owners[target]):
            return f"slot {slot} is on {target} already\n"
        source = next(node for node in self.nodes if any(first <= slot <= last for first, last in owners[node]))
        cli(site.ports[target], "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[source])
        cli(site.ports[source], "CLUSTER", "SETSLOT", slot, "MIGRATING", ids[target])
        while keys := cli(site.ports[source], "CLUSTER", "GETKEYSINSLOT", slot, 100).split():
            cli(site.ports[source], "MIGRATE", "127.0.0.1", site.ports[target], "", 0, 5000, "KEYS", *keys)
        for node in (target, source, *self.nodes):
            cli(site.ports[node], "CLUSTER", "SETSLOT", slot, "NODE", ids[target])
        return f"slot {slot} is on {target} now, it was on {source}\n"

    def addresses(self, site: Site) -> dict[str, str]:
        return {"nodes": ",".join(f"127.0.0.1:{site.ports[node]}" for node in self.nodes)}


class RedisSentinel(Server):
    """A master and the one sentinel that knows where it is."""

    name = "redis-sentinel"
    port_names = ("master", "sentinel")

    def fetch(self) -> None:
        binary("redis-server")

    def prepare(self, site: Site) -> None:
        for name, more in (("master", []), ("sentinel", [f"sentinel monitor {MASTER} 127.0.0.1 {site.ports['master']} 1"])):
            folder = site.folder / name
            folder.mkdir(exist_ok=True)
            lines = [*common(site.ports[name], folder, is_sentinel=bool(more)), *more]
            (folder / "redis.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def programs(self, site: Site) -> list[Program]:
        server = binary("redis-server")
        sentinel = [server, site.folder / "sentinel" / "redis.conf", "--sentinel"]
        return [Program("master", [server, site.folder / "master" / "redis.conf"]), Program("sentinel", sentinel)]

    def ready(self, site: Site) -> bool:
        return all(ask(site.ports[name], "PING") == "+PONG" for name in self.port_names)

    def addresses(self, site: Site) -> dict[str, str]:
        return {"port": site.ports["master"], "sentinels": f"127.0.0.1:{site.ports['sentinel']}", "master": MASTER}


def common(port: int, folder: pathlib.Path, is_sentinel: bool = False) -> list[str]:
    """Lines that every server's configuration has: it listens on the loopback and keeps nothing."""
    keeping = [] if is_sentinel else ['save ""', "appendonly no"]
    return ["bind 127.0.0.1", f"port {port}", f"dir {folder}", "daemonize no", *keeping]


def binary(name: str) -> pathlib.Path:
    """A program of Redis."""
    found = shutil.which(name)
    if not found:
        raise cache.Failed(f"redis: there is no `{name}`; `scripts/setup test` installs it")
    return pathlib.Path(found)


def ask(port: int, *words: str) -> str:
    """The first line of the answer to a command."""
    with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        connection.sendall((" ".join(words) + "\r\n").encode())
        return connection.makefile().readline().strip()


def cli(port: int, *words) -> str:
    """What `redis-cli` prints; what a server refuses is an error."""
    command = [binary("redis-cli"), "-e", "-p", port, *words]
    return cache.call(command, f"redis-cli {' '.join(map(str, words[:3]))}")


def owned(nodes: str) -> list[tuple[int, int]]:
    """The ranges of slots that a node says are its own, of CLUSTER NODES."""
    mine = next(line for line in nodes.splitlines() if "myself" in line).split()[8:]
    ranges = [word.split("-") for word in mine if not word.startswith("[")]
    return [(int(bounds[0]), int(bounds[-1])) for bounds in ranges]
