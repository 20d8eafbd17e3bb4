"""Virtual environments with pinned packages, one for each file in `requirements/`."""

import pathlib
import sys

from . import cache

REQUIREMENTS = pathlib.Path(__file__).parent / "requirements"


def interpreter(name: str) -> pathlib.Path:
    """The Python of the environment that `requirements/<name>.txt` describes. Start modules with `-m`: its scripts are not for use."""
    wanted = REQUIREMENTS / f"{name}.txt"

    def make(folder: pathlib.Path) -> None:
        cache.call([sys.executable, "-m", "venv", folder], f"environment of {name}")
        install = [folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", wanted]
        cache.call(install, f"packages of {name}")

    key = cache.digest(wanted.read_text(encoding="utf-8"), sys.version)
    return cache.ensure(f"python-{name}", key, make) / "bin" / "python"
