"""What is left by processes that are killed."""

import os
import random
import signal
import time

import pytest
from conftest import asleep, until

import robust_shm as shm


def test_a_value_is_whole(name, child):
    value = shm.Value(name, "i64", 10)
    other = child("v = shm.Value.open(args[0])\nwith v:\n    v.value = 99\n    say('holds')\n    time.sleep(60)", name)
    other.hears("holds")
    other.kill()
    with value:
        assert value.value == 10


def test_a_sleeper_goes_on_when_the_holder_is_killed(name, child, holder):
    value = shm.Value(name, "i64", 10)
    one = holder(name)
    other = child("v = shm.Value.open(args[0])\nwith v: say(v.value)", name)
    asleep(name)
    one.kill()
    other.hears("10")
    other.ends()
    del value


@pytest.mark.parametrize("kind", ["array", "lock", "rwlock"])
def test_what_is_in_place_is_poisoned_until_it_is_repaired(name, kind, child):
    make, enter = {
        "array": (lambda: shm.Array(name, "i64", 2), lambda x: x.lock()),
        "lock": (lambda: shm.Lock(name), lambda x: x.lock()),
        "rwlock": (lambda: shm.RwLock(name), lambda x: x.write()),
    }[kind]
    shared = make()
    how = "write" if kind == "rwlock" else "lock"
    other = child("x = shm.open(args[0])\nwith getattr(x, args[1])():\n    say('holds')\n    time.sleep(60)", name, how)
    other.hears("holds")
    other.kill()
    with pytest.raises(shm.Poisoned):
        enter(shared).__enter__()
    assert shared.is_poisoned and not shared.is_held
    if kind == "array":
        with pytest.raises(shm.Poisoned):
            shared[0]
        with pytest.raises(shm.Poisoned):
            shared.add(0, 1)
    with pytest.raises(KeyError):
        with shared.recover():
            raise KeyError  # not repaired
    assert shared.is_poisoned
    with shared.recover(timeout=1) as inside:
        assert inside is shared
        if kind == "array":
            shared[:] = [0, 0]
    assert not shared.is_poisoned
    with enter(shared):
        pass


def test_without_poison_nobody_is_bothered(name, child):
    lock = shm.Lock(name, poison=False)
    other = child("x = shm.open(args[0])\nwith x:\n    say('holds')\n    time.sleep(60)", name)
    other.hears("holds")
    other.kill()
    with lock:
        assert not lock.is_poisoned


def test_a_killed_reader_poisons_nothing(name, child):
    lock = shm.RwLock(name)
    other = child("x = shm.open(args[0])\nwith x.read():\n    say('holds')\n    time.sleep(60)", name)
    other.hears("holds")
    other.kill()
    with lock.write(timeout=30):
        pass


def test_a_killed_workers_permit_returns(name, child):
    semaphore = shm.Semaphore(name, 1)
    other = child("s = shm.Semaphore.open(args[0])\nwith s:\n    say('holds')\n    time.sleep(60)", name)
    other.hears("holds")
    other.kill()
    with semaphore as index:
        assert index == 0


def test_sums_are_exact_with_kills(name, child):
    """Each counts its own additions, too: no sum but those of the two can be there."""
    value = shm.Value(name, "{sum:i64,of:[i64;4]}")
    code = (
        "v = shm.Value.open(args[0])\ni = int(args[1])\nsay('runs')\n"
        "while True:\n    with v:\n        v.sum += 1\n        v.of = tuple(n + (k == i) for k, n in enumerate(v.of))\n"
    )
    dice = random.Random(4)
    others = [child(code, name, str(i)) for i in range(4)]
    for other in others:
        other.hears("runs")
    for round_ in range(12):
        i = dice.randrange(4)
        time.sleep(dice.random() * 0.05)
        others[i].kill()
        now = value.get()
        assert now.sum == sum(now.of)
        others[i].close()
        others[i] = child(code, name, str(i))
        others[i].hears("runs")
    for other in others:
        other.kill()
    with value:
        assert value.sum == sum(value.of) > 0


def test_what_the_killed_leave_is_collected(name, child):
    other = child("v = shm.Value(args[0], 'i64')\nsay('there')\ntime.sleep(60)", name)
    other.hears("there")
    assert shm.info(name).attached == 1
    other.kill()
    assert name in shm.orphans() and name in shm.gc()
    with pytest.raises(shm.NotFound):
        shm.info(name)


def test_a_stopped_holder_is_named(name, holder):
    value = shm.Value(name, "i64", 1)
    one = holder(name)
    one.signal(signal.SIGSTOP)
    with pytest.raises(shm.TimedOut, match=f"process {one.process.pid}"):
        with value.lock(timeout=0.02):
            pass
    assert value.info().holder_process == one.process.pid
    assert value.get() == 1
    assert os.getpid() in [user.pid for user in value.info().users()]
    one.signal(signal.SIGCONT)
    one.tell()
    one.ends()


def test_an_array_that_was_repaired_by_another(name, child):
    array = shm.Array(name, "i64", 1)
    child("x = shm.open(args[0])\nx.__enter__()\nos.kill(os.getpid(), 9)", name).process.wait(30)
    until(lambda: array.is_poisoned)
    child("x = shm.open(args[0])\nwith x.recover(): x[0] = 5", name).ends()
    assert array[0] == 5
