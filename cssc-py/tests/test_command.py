"""The command `cssc` that comes with the package."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

import cssc
from conftest import EXAMPLES

CSSC = str(Path(sys.executable).with_name("cssc"))
DRY_RUN = ["dry-run", "--config", "continuouspatching.json", "-r", "inventory:registry.json"]


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES, timeout=60)


@pytest.mark.parametrize("command", [[CSSC], [sys.executable, "-m", "cssc"]])
def test_it_is_the_command_line(command: List[str]) -> None:
    assert run(*command, "--version").stdout == f"cssc {cssc.__version__}\n"
    planned = run(*command, *DRY_RUN, "-o", "json")
    assert planned.returncode == 0 and "glob-not-portable" in planned.stderr
    # The same answer as the library's.
    inventory = json.loads((EXAMPLES / "registry.json").read_text("utf-8"))
    plan = cssc.plan(EXAMPLES / "continuouspatching.json", inventory)
    assert json.loads(planned.stdout) == plan.to_dict()
    help_text = run(*command, "dry-run", "--help").stdout
    assert "Usage: cssc dry-run" in help_text


def test_exit_codes() -> None:
    assert run(CSSC, *DRY_RUN).returncode == 0
    assert run(CSSC, *DRY_RUN, "--deny", "warnings").returncode == 1
    assert run(CSSC, "nonsense").returncode == 2
    assert run(CSSC).returncode == 2


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_ctrl_c_ends_it_without_a_traceback(deaf: Tuple[socket.socket, str]) -> None:
    listening, host = deaf
    child = subprocess.Popen(
        [CSSC, "tags", "list", "-r", host, "a"], stderr=subprocess.PIPE, text=True
    )
    with listening.accept()[0]:
        child.send_signal(signal.SIGINT)
        said = child.communicate(timeout=20)[1]
    assert child.returncode == -signal.SIGINT
    assert "Traceback" not in said


@pytest.mark.skipif(os.name != "posix", reason="a shell of POSIX")
def test_a_reader_that_goes_is_no_error() -> None:
    script = f"{CSSC} schedule next 1d --count 3000 | head -1; exit ${{PIPESTATUS[0]}}"
    done = run("bash", "-c", script)
    assert (done.returncode, done.stderr) == (0, "")
