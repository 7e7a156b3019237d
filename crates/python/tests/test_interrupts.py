"""Ctrl-C, and other signals, while a thread waits."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
from conftest import asleep, until

import robust_shm as shm

WAITS = {
    "value": ("shm.Value(args[0], 'i64')", "x.lock().__enter__()"),
    "value in a block": ("shm.Value(args[0], 'i64')", "x.__enter__()"),
    "add": ("shm.Value(args[0], 'i64')", "x.add(1)"),
    "set": ("shm.Value(args[0], 'i64')", "x.set(1)"),
    "array": ("shm.Array(args[0], 'i64', 2)", "x.__enter__()"),
    "element": ("shm.Array(args[0], 'i64', 2)", "x[0]"),
    "read": ("shm.Array(args[0], 'i64', 2)", "x.read().__enter__()"),
    "lock": ("shm.Lock(args[0])", "x.acquire()"),
    "lock in time": ("shm.Lock(args[0])", "x.acquire(timeout=50)"),
    "write": ("shm.RwLock(args[0])", "x.write().__enter__()"),
}

LOOP = """
x = {make}
say('ready')
sys.stdin.readline()
try:
    {wait}
except KeyboardInterrupt:
    say('interrupted', x.is_held)
else:
    say('not interrupted')
"""


@pytest.mark.parametrize("which", WAITS)
def test_ctrl_c_ends_a_wait_for_a_lock(name, child, holder, which):
    make, wait = WAITS[which]
    other = child(LOOP.format(make=make, wait=wait), name)
    other.hears("ready")
    holder(name, *(["write"] if which == "write" else []))
    other.tell()
    asleep(name)
    other.signal(signal.SIGINT)
    other.hears("interrupted False")
    other.ends()


@pytest.mark.parametrize(
    ("make", "wait"),
    [
        ("shm.Event(args[0])", "x.wait()"),
        ("shm.Value(args[0], 'i64')", "x.wait_newer()"),
        ("shm.Value(args[0], 'i64')", "x.wait_while(lambda _: True)"),
        ("shm.Value(args[0], 'i64')", "next(x.changes())"),
    ],
)
def test_ctrl_c_ends_a_wait_for_something_to_happen(name, child, make, wait):
    other = child(LOOP.format(make=make, wait=wait).replace(", x.is_held", ", False"), name)
    other.hears("ready")
    other.tell()
    asleep(name)
    other.signal(signal.SIGINT)
    other.hears("interrupted False")
    other.ends()


def test_ctrl_c_ends_a_wait_for_a_permit(name, child):
    semaphore = shm.Semaphore(name, 1)
    other = child(LOOP.format(make="shm.Semaphore.open(args[0])", wait="x.acquire()").replace(", x.is_held", ", False"), name)
    other.hears("ready")
    with semaphore:
        other.tell()
        asleep(name)
        other.signal(signal.SIGINT)
        other.hears("interrupted False")
        other.ends()


@pytest.mark.parametrize("kind", ["shm.Lock(args[0])", "shm.Array(args[0], 'i64', 1)"])
def test_ctrl_c_ends_a_wait_for_a_condition_and_its_block(name, child, kind):
    code = (
        f"x = {kind}\nc = shm.Condition(x)\ntry:\n    with x:\n        say('in')\n        c.wait()\n"
        "except KeyboardInterrupt:\n    say('interrupted', x.is_held)\nwith x: say('and again')\nsys.stdin.readline()"
    )
    other = child(code, name)
    other.hears("in")
    asleep(name)
    with shm.open(name):
        pass
    other.signal(signal.SIGINT)
    other.hears("interrupted False")
    other.hears("and again")
    other.tell()
    other.ends()


def test_a_handler_that_returns_lets_the_wait_go_on(name, child, holder):
    value = shm.Value(name, "i64", 1)
    other = child(
        "signal.signal(signal.SIGUSR1, lambda *_: say('heard', v.get()))\nv = shm.Value.open(args[0])\nsay('ready')\nsys.stdin.readline()\nwith v: say('holds')", name
    )
    other.hears("ready")
    one = holder(name)
    other.tell()
    asleep(name)
    for _ in range(3):
        other.signal(signal.SIGUSR1)
        other.hears("heard 1")
    one.tell()
    other.hears("holds")
    del value


def test_a_handler_may_use_a_lock_of_ours(name, child, holder):
    value, mine = shm.Value(name, "i64", 1), name + "-mine"
    other = child(
        "signal.signal(signal.SIGUSR1, lambda *_: say('heard', w.add(1)))\nw = shm.Value(args[1], 'i64')\nv = shm.Value.open(args[0])\nsay('ready')\nsys.stdin.readline()\nwith v: say('holds')",
        name,
        mine,
    )
    other.hears("ready")
    one = holder(name)
    other.tell()
    asleep(name)
    for i in range(3):
        other.signal(signal.SIGUSR1)
        other.hears(f"heard {i + 1}")
    one.tell()
    other.hears("holds")
    del value


def test_a_thread_that_is_not_the_main_one_waits_on(name, child, holder):
    """Python's handlers run in the main thread only: which is free for that while another one waits."""
    value = shm.Value(name, "i64", 1)
    other = child(
        "v = shm.Value.open(args[0])\ndef wait():\n    with v: say('holds')\nsay('ready')\nsys.stdin.readline()\nt = threading.Thread(target=wait)\nt.start()\n"
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    say('interrupted')\nt.join()",
        name,
    )
    other.hears("ready")
    one = holder(name)
    other.tell()
    asleep(name)
    other.signal(signal.SIGINT)
    other.hears("interrupted")
    one.tell()
    other.hears("holds")
    other.ends()
    del value


def test_at_any_moment_of_a_wait(name, holder):
    """In this process, at moments of chance: each is raised, and none leaves the lock with us."""
    value = shm.Value(name, "i64", 1)
    one = holder(name)
    dice = random.Random(8)
    for _ in range(100):
        pause = dice.random() * 0.004

        def shoot():
            time.sleep(pause)
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=shoot)
        with pytest.raises(KeyboardInterrupt):
            thread.start()
            try:
                with value.lock(timeout=20):
                    pytest.fail("the lock is another's")
            finally:
                thread.join()
        assert not value.is_held
    one.tell()
    one.ends()
    with value:
        value.value = 2


def test_at_any_moment_of_a_loop(name, child):
    """A program that does nothing but lock is interrupted anywhere: the lock is free afterwards, and the sum right."""
    value = shm.Value(name, "i64", 0)
    array = shm.Array(name + "-a", "i64", 8)
    code = (
        "import numpy\nv, a = shm.Value.open(args[0]), shm.Array.open(args[1])\n"
        "while True:\n    try:\n        say('ready')\n        sys.stdin.readline()\n"
        "        while True:\n            with v: v.value += 1\n            v.add(1)\n            with a: a.np[:] += 1; a.view()[0]\n            a.add(1, 1)\n"
        "    except KeyboardInterrupt:\n        assert not v.is_held and not a.is_held\n        say('interrupted')\n"
    )
    other = child(code, name, name + "-a")
    dice = random.Random(15)
    for _ in range(100):
        other.hears("ready")
        other.tell()
        time.sleep(dice.random() * 0.002)
        before = value.get()
        other.signal(signal.SIGINT)
        other.hears("interrupted")
        with value.lock(timeout=30), array.lock(timeout=30):
            assert value.value >= before
    other.kill()
    until(lambda: not value.info().holder_thread)
    with array.recover():
        pass


def test_the_end_of_the_program_while_daemons_wait(name, holder):
    """Threads that wait when the interpreter ends, and get what they wait for amid that, do not crash it."""
    value = shm.Value(name, "i64", 1)
    code = (
        "import sys, threading, robust_shm as shm\nx, a = shm.Value.open(sys.argv[1]), shm.Array(shm.unique_name(sys.argv[1]), 'i', 2)\n"
        "def work():\n    while True:\n        with x: pass\n"
        "def fail():\n    while True:\n        try:\n            with a: a[:] = [1]\n        except ValueError: pass\n"
        "        try:\n            with a: v = a.view()[1:]\n        except BufferError: del v\n"
        "for target in (work, work, fail, fail): threading.Thread(target=target, daemon=True).start()\n"
        "import time; time.sleep(0.02)\n"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, name], stderr=subprocess.PIPE) for _ in range(6)]
    for other in others:
        _, err = other.communicate(timeout=60)
        assert (other.returncode, err) == (0, b"")
    with value:
        value.value = 2


@pytest.mark.parametrize(
    ("make", "call"),
    [
        ("shm.Value(args[0], 'i64')", "x.update(work)"),
        ("shm.Value(args[0], 'i64')", "x.wait_while(work)"),
        ("shm.Value(args[0], 'i64')", "x.wait_while(lambda _: Slow())"),
        ("shm.Array(args[0], 'i64', 2, poison=False)", "x.update(0, work)"),
        ("shm.Condition(shm.Lock(args[0], poison=False))", "with x: x.wait_for(work)"),
    ],
)
def test_the_end_of_the_program_while_a_daemon_runs_a_callback(name, child, make, call):
    """Before 3.14 the interpreter ends such threads by `pthread_exit`, which must not unwind through Rust."""
    code = (
        f"x = {make}\n"
        "def work(*_):\n    in_it.set()\n    while True: time.sleep(0.001)\n"
        "class Slow:\n    def __bool__(self): work()\n"
        f"def begin():\n    {call}\n"
        "in_it = threading.Event()\nthreading.Thread(target=begin, daemon=True).start()\nassert in_it.wait(30), 'nobody came into the callback'\n"
    )
    others = [child(code, name) for _ in range(4)]
    # One after the other is amid it: their locks are free again when they end.
    for other in others:
        assert other.ends() == ""
