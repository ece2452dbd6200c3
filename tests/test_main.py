"""``python -m dotally`` is ``dotally``, where no script is on the path."""

import subprocess
import sys

from dotally.version import __version__


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "dotally", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dotally {__version__}\n", "")
    wrong = subprocess.run([sys.executable, "-m", "dotally", "cuont"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: dotally ")
