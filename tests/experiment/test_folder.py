"""The folder of a run: its states, and that two processes never work in one."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dotally.experiment.folder import DEAD_AFTER, RunFolder

HOLD = """
import sys, time
from pathlib import Path
from dotally.experiment.folder import RunFolder
with RunFolder(Path(sys.argv[1])).claim() as mine:
    print(mine, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "seed0-12345678")


def test_a_run_that_nobody_began_is_planned(folder: RunFolder) -> None:
    assert folder.state() == "planned"
    assert not folder.path.exists(), "asking leaves nothing behind"


def test_only_a_result_means_done(folder: RunFolder) -> None:
    folder.note("running")
    assert folder.state() == "interrupted", "no process is at it"
    folder.result.write_text("{}")
    assert folder.state() == "done"


def test_a_failure_keeps_its_reason(folder: RunFolder) -> None:
    folder.note("failed", "the loss became nan")
    assert (folder.state(), folder.reason()) == ("failed", "the loss became nan")


def test_a_half_written_state_is_as_good_as_none(folder: RunFolder) -> None:
    folder.path.mkdir()
    (folder.path / "state.json").write_text('{"state": "fai')
    assert folder.state() == "planned"


def test_one_process_at_a_time_and_a_killed_one_leaves_no_lock(folder: RunFolder) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder.path)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert folder.state() == "running"
        with folder.claim() as mine:
            assert not mine
        holder.kill()
        holder.wait()
        with folder.claim() as mine:
            assert mine
    finally:
        holder.kill()
        holder.wait()


def test_whoever_leaves_in_order_is_not_waited_for_on_other_hosts(folder: RunFolder) -> None:
    with contextlib.suppress(KeyboardInterrupt), folder.claim() as mine:
        assert mine
        assert folder.owner() == f"process {os.getpid()} on {socket.gethostname()}"
        raise KeyboardInterrupt
    assert (folder.path / "running.lock").read_text() == ""


def test_another_host_is_believed_while_its_heart_beats(folder: RunFolder) -> None:
    folder.path.mkdir()
    lock = folder.path / "running.lock"
    lock.write_text(json.dumps({"pid": 1, "host": "another"}))
    assert folder.state() == "running"
    with folder.claim() as mine:
        assert not mine
    long_ago = time.time() - DEAD_AFTER - 1
    os.utime(lock, (long_ago, long_ago))
    assert folder.state() == "planned"
    folder.beat()
    assert folder.state() == "running"
    os.utime(lock, (long_ago, long_ago))
    with folder.claim() as mine:
        assert mine


def test_what_a_killed_process_was_writing_is_swept_away(folder: RunFolder) -> None:
    folder.note("running")
    folder.checkpoints.mkdir()
    folder.last.write_text("whole")
    (folder.checkpoints / ".last-abc.ckpt").write_text("half")
    (folder.path / ".metrics-abc.csv").write_text("half")
    folder.sweep()
    assert sorted(path.name for path in folder.path.rglob("*")) == ["checkpoints", "last.ckpt", "state.json"]
