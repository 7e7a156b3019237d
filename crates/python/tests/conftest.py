"""What the tests share: names that nobody else has, other processes, and waiting with an end.

Every test leaves no segment and no process behind: that is looked at after each.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

import robust_shm as shm

PREFIX = f"{os.environ.get('ROBUST_SHM_TEST_PREFIX', '')}py-{os.getpid()}-"

# Also where these tests run in the background of a script, which has its children ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An end for whatever hangs: by the default action of SIGALRM, which no interpreter has to be able to run.
LIMIT = 120


def until(condition: Callable[[], object], what: str = "the condition") -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true within 30 s"
        time.sleep(0.001)


def asleep(name: str, is_asleep: bool = True) -> None:
    """Waits until somebody sleeps at the segment."""
    until(lambda: shm.info(name).has_sleepers == is_asleep, f"a sleeper at {name}")


class Child:
    """Another process: an interpreter of its own, that runs `code`, with `shm`, `say` and `args` in it."""

    HEAD = (
        "import os, signal, sys, time, threading\n"
        "import robust_shm as shm\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "def say(*words): print(*words, flush=True)\n"
        "args = sys.argv[1:]\n"
    )

    def __init__(self, code: str, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.HEAD + code, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hears(self, expected: str) -> None:
        assert self.process.stdout is not None and self.process.stderr is not None
        line = self.process.stdout.readline().rstrip("\n")
        if line != expected:
            self.process.kill()
            pytest.fail(f"expected {expected!r}, the child said {line!r}\n{self.process.stderr.read()}")

    def tell(self, line: str = "") -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(30)

    def ends(self, code: int = 0) -> str:
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == code, f"ended with {self.process.returncode}\n{out}\n{err}"
        return out

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return shm.unique_name(PREFIX + request.node.originalname[:60] + "-")


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    children: list[Child] = []

    def start(code: str, *args: str) -> Child:
        children.append(Child(code, *args))
        return children[-1]

    yield start
    for one in children:
        one.close()


HOLDS = "import contextlib\nx = shm.open(args[0])\nwith getattr(x, args[1])() if len(args) > 1 else x:\n    say('holds')\n    sys.stdin.readline()\n"


@pytest.fixture
def holder(child: Callable[..., Child]) -> Callable[..., Child]:
    """A process that holds the lock of a segment until it hears a line."""

    def start(name: str, *how: str) -> Child:
        one = child(HOLDS, name, *how)
        one.hears("holds")
        return one

    return start


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    signal.alarm(LIMIT)
    yield
    signal.alarm(0)
    gc.collect()
    shm.gc()
    left = [info.name for info in shm.ls() if info.name.startswith(PREFIX)]
    for one in left:
        shm.remove(one)
    # A failed test keeps its frames, and so its handles.
    failed = getattr(request.node, "failed", False)
    assert failed or not left, f"left behind: {left}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call" and report.failed:
        item.failed = True  # type: ignore[attr-defined]
    return report
