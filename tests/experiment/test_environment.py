"""What a run was made with: the patch of a dirty tree gives the tree again."""

import subprocess
from pathlib import Path

from dotally.experiment.environment import patch


def git(root: Path, *arguments: str) -> None:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.org")
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def test_a_patch_holds_changes_and_new_modules(tmp_path: Path) -> None:
    root, clone = tmp_path / "tree", tmp_path / "clone"
    root.mkdir()
    git(root, "init")
    (root / "old.py").write_text("a = 1\n\n")
    git(root, "add", ".")
    git(root, "commit", "-m", "begin")
    git(tmp_path, "clone", str(root), str(clone))
    assert patch(root) == ""
    (root / "old.py").write_text("a = 2\n\n")
    (root / "new.py").write_text("b = 1\n")
    (root / "notes.txt").write_text("no source")
    (tmp_path / "patch.diff").write_text(patch(root) + "\n")
    git(clone, "apply", str(tmp_path / "patch.diff"))
    assert {path.name: path.read_text() for path in clone.glob("*.py")} == {"old.py": "a = 2\n\n", "new.py": "b = 1\n"}


def test_outside_a_checkout_there_is_no_patch(tmp_path: Path) -> None:
    assert patch(tmp_path) == ""
