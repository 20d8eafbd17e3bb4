"""What a server module provides, and what it is given."""

import dataclasses
import pathlib

from . import cache
from .process import Program


@dataclasses.dataclass(frozen=True)
class Site:
    """Where one server of one run lives."""

    folder: pathlib.Path  # its own folder: configuration, data, logs
    ports: dict[str, int]
    peers: dict[str, dict]  # the addresses of the servers it needs


class Server:
    """A kind of server. Everything but `settle` and `admin` must be answered; all of it may be called again after a restart."""

    name: str
    needs: tuple[str, ...] = ()
    special = False  # started only by name
    port_names: tuple[str, ...] = ("port",)

    def fetch(self) -> None:
        """Downloads or builds what it needs, once for all runs."""
        raise NotImplementedError

    def prepare(self, site: Site) -> None:
        """Writes its configuration; formats its data unless that was done."""
        raise NotImplementedError

    def programs(self, site: Site) -> list[Program]:
        """Its processes, in the order in which they are started."""
        raise NotImplementedError

    def ready(self, site: Site) -> bool:
        """Whether a real request is answered as it should be. An `OSError` or `ValueError` counts as no."""
        raise NotImplementedError

    def settle(self, site: Site) -> None:
        """Makes what clients expect to find, each time it has become ready."""

    def admin(self, site: Site, words: list[str]) -> str:
        """Runs a command of an administrator on it, and gives what that prints."""
        raise cache.Failed(f"{self.name}: there are no commands for it")

    def addresses(self, site: Site) -> dict[str, str]:
        """What a client needs to know."""
        raise NotImplementedError
