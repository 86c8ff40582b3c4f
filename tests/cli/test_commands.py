"""Every command is there, and one that runs imports only its own module."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agelens import cli
from agelens.cli import app

LOADED = (
    "import sys; from agelens.cli import main\n"
    "try: main()\n"
    "finally: print(*(n for n in sys.modules if n.startswith('agelens.cli.')), file=sys.stderr)"
)


def test_the_table_of_modules_has_every_command() -> None:
    commands = [each.name or each.callback.__name__ for each in app.registered_commands]
    groups = [each.name for each in app.registered_groups]
    assert sorted(cli.MODULES) == sorted([*commands, *groups])


@pytest.mark.parametrize(
    ("arguments", "every"),
    [
        (["models", "--help"], False),
        (["--help"], True),
        (["-h", "models"], True),
        (["modles"], True),
        ([], True),
    ],
)
def test_a_command_imports_only_its_own_module(arguments: list[str], every: bool) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments], capture_output=True, text=True, check=False
    )
    loaded = {name.rpartition(".")[2] for name in done.stderr.splitlines()[-1].split()}
    expected = set(cli.MODULES.values()) if every else {"models"}
    assert loaded & set(cli.MODULES.values()) == expected


ENDING = (
    "import atexit, sys, threading, time; from agelens.__main__ import main\n"
    "atexit.register(lambda: print('exit function'))\n"
    "if sys.argv.pop(1) == 'thread':\n"
    "    late = lambda: (time.sleep(0.2), print('thread'))\n"
    "    threading.Thread(target=late).start()\n"
    "main()"
)


@pytest.mark.parametrize("thread", ["", "thread"])
@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [(["--version"], 0, "agelens 0"), (["predict"], 2, "Error"), (["predict", "gone"], 1, "gone")],
)
def test_a_process_ends_with_its_code_and_all_that_it_said(
    arguments: list[str], code: int, told: str, thread: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDING, thread, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert told in done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "exit function"
    assert ("thread" in done.stdout.split()) == bool(thread)
