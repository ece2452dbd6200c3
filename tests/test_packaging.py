"""What setup.cfg says is what is on disk."""

import configparser
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_package_is_listed() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    folders = [path.parent for path in (ROOT / "src").glob("dotally/**/__init__.py")]
    on_disk = {".".join(folder.relative_to(ROOT / "src").parts) for folder in folders} | {"triton_kernels"}
    assert listed == on_disk


def test_the_lock_holds_every_requirement() -> None:
    requirements = [line.split(">=")[0].split("[")[0] for line in _lines("requirements.txt")]
    locked = {line.split("==")[0].lower() for line in _lines("requirements.lock")}
    assert {name.lower() for name in requirements} <= locked


def _lines(name: str) -> list[str]:
    text = (ROOT / name).read_text()
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
