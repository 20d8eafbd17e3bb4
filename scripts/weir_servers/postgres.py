"""PostgreSQL, as installed on this machine. It refuses to run as root, and runs as the user `postgres` then."""

import os
import pathlib
import pwd
import shutil
import signal
import subprocess

from . import cache
from .process import Program
from .server import Server, Site

DATABASE = "weir"
USER = "postgres"


class Postgres(Server):
    """One database, reached without a password from the loopback alone."""

    name = "postgres"

    def fetch(self) -> None:
        binary("initdb")

    def prepare(self, site: Site) -> None:
        data = site.folder / "data"
        if (data / "PG_VERSION").exists():
            return
        check_reachable(site.folder)
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        user = other_user()
        if user:
            account = pwd.getpwnam(user)
            os.chown(data, account.pw_uid, account.pw_gid)
        identity = {"user": user, "group": user, "extra_groups": []} if user else {}
        command = [binary("initdb"), "-D", data, "-A", "trust", "-U", USER, "-E", "UTF8", "--locale", "C", "--no-sync"]
        cache.call(command, "making PostgreSQL's data folder", cwd="/", **identity)

    def programs(self, site: Site) -> list[Program]:
        settings = {
            "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "shared_buffers": "32MB", "wal_level": "logical",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        command = [binary("postgres"), "-D", site.folder / "data", "-p", site.ports["port"], *options]
        # SIGINT is its "fast shutdown": sessions are ended instead of waited for.
        return [Program("postmaster", command, user=other_user(), stop_signal=signal.SIGINT)]

    def ready(self, site: Site) -> bool:
        return query(site, "postgres", "SELECT 1") == "1"

    def settle(self, site: Site) -> None:
        if query(site, "postgres", f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'") != "1":
            query(site, "postgres", f"CREATE DATABASE {DATABASE}")

    def addresses(self, site: Site) -> dict[str, str]:
        return {"url": f"postgres://{USER}@127.0.0.1:{site.ports['port']}/{DATABASE}"}


def binary(name: str) -> pathlib.Path:
    """A program of PostgreSQL: the newest under Debian's folder, which is not on the path, else one on the path."""
    versions = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    found = versions[-1] if versions else shutil.which(name)
    if not found:
        raise cache.Failed(f"postgres: there is no `{name}`; `scripts/setup test` installs it")
    return pathlib.Path(found)


def other_user() -> str | None:
    """The user to run as, if it is not the one who asks."""
    return USER if os.geteuid() == 0 else None


def check_reachable(folder: pathlib.Path) -> None:
    """Tells which folder keeps the user `postgres` out, if one does."""
    if other_user():
        for parent in (folder, *folder.parents):
            if not parent.stat().st_mode & 0o001:
                raise cache.Failed(f"postgres: other users may not enter {parent}; choose another --dir, or `chmod o+x` it")


def query(site: Site, database: str, text: str) -> str:
    """The answer to a statement, through `psql`; a failure is an `OSError`."""
    command = [binary("psql"), "-X", "-h", "127.0.0.1", "-p", str(site.ports["port"]), "-U", USER, "-d", database, "-tAc", text]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, cwd="/")
    if done.returncode != 0:
        raise OSError(done.stderr.strip())
    return done.stdout.strip()
