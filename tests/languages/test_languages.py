"""One segment, three languages: each is killed, and each of the others goes on. Run by `run`, beside this file.

VERBS_RS and VERBS_C name the programs; ROBUST_SHM_STORM_KILLS how many are killed in the storm, and ROBUST_SHM_HANDOVERS for
the figures of each pair.
"""

import itertools
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import time

import pytest

import robust_shm as shm

HERE = pathlib.Path(__file__).parent
LIMIT = 60
KILLS = int(os.environ.get("ROBUST_SHM_STORM_KILLS", "150"))
HANDOVERS = int(os.environ.get("ROBUST_SHM_HANDOVERS", "2"))
WHO = {
    "rust": [os.environ["VERBS_RS"]],
    "c": [os.environ["VERBS_C"]],
    "python": [sys.executable, str(HERE / "verbs.py")],
}
PAIRS = pytest.mark.parametrize("dies, goes_on", list(itertools.product(WHO, WHO)))
RUNNING = []


def start(who, name, verb, argument=None):
    command = [*WHO[who], name, verb, *([] if argument is None else [str(argument)])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    RUNNING.append(process)
    return process


def ends(process):
    """What it printed, when it ended in time and well."""
    out, _ = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, (process.args, process.returncode)
    return out.strip()


def run(who, name, verb, argument=None):
    return ends(start(who, name, verb, argument))


def hears(process, what):
    assert process.stdout.readline() == f"{what}\n", process.args


def holds(who, name, verb):
    process = start(who, name, verb)
    hears(process, "held")
    return process


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=LIMIT)


def until_somebody_sleeps(name):
    end = time.monotonic() + LIMIT
    while not shm.info(name).has_sleepers:
        assert time.monotonic() < end, "nobody sleeps"
        time.sleep(0.001)


def too_late(*_):
    raise AssertionError("a test took too long")


@pytest.fixture
def name(request):
    # The end of all waits that have none of their own: a program that says nothing.
    signal.signal(signal.SIGALRM, too_late)
    signal.alarm(5 * LIMIT + KILLS + 9 * HANDOVERS)
    prefix = os.environ.get("ROBUST_SHM_TEST_PREFIX", "")
    name = f"{prefix}languages-{os.getpid()}-{next(NUMBERS)}"
    yield name
    signal.alarm(0)
    for process in RUNNING:
        process.kill()
    while RUNNING:
        RUNNING.pop().communicate(timeout=LIMIT)
    # A failed test keeps its frames, and so its handles.
    for segment in shm.ls():
        if segment.name == name or segment.name.startswith(f"{name}-"):
            shm.remove(segment.name)


NUMBERS = itertools.count()


@PAIRS
def test_a_value_whose_holder_is_killed(name, dies, goes_on):
    mine = shm.Value(name, "i64", 10)
    holder = holds(dies, name, "value-hold")
    waiter = start(goes_on, name, "add", 5)
    until_somebody_sleeps(name)
    assert run(goes_on, name, "get") == "10"  # the last commit, without waiting
    kill(holder)
    assert ends(waiter) == "" and mine.get() == 15


@PAIRS
def test_an_array_is_poisoned_in_one_and_repaired_in_the_other(name, dies, goes_on):
    mine = shm.Array(name, "i64", 64)
    kill(holds(dies, name, "array-hold"))
    assert run(goes_on, name, "fill", 3) == "poisoned" and mine.is_poisoned
    run(goes_on, name, "repair", 4)
    assert run(dies, name, "read") == "4" and not mine.is_poisoned
    run(dies, name, "fill", 5)
    assert run(goes_on, name, "read") == "5"


@PAIRS
def test_a_permit_comes_back(name, dies, goes_on):
    mine = shm.Semaphore(name, 1)
    holder = holds(dies, name, "permit-hold")
    waiter = start(goes_on, name, "permit")
    until_somebody_sleeps(name)
    kill(holder)
    assert ends(waiter) == "0" and mine.available == 1


@PAIRS
def test_an_event_that_is_set_when_one_who_waits_was_killed(name, dies, goes_on):
    mine = shm.Event(name)
    victim = holds(dies, name, "event-hold")
    waiter = start(goes_on, name, "event-wait")
    until_somebody_sleeps(name)
    kill(victim)
    run(dies, name, "event-set")
    assert ends(waiter) == "" and mine.is_set()


@PAIRS
def test_a_condition_is_notified_when_one_who_waits_was_killed(name, dies, goes_on):
    mine = shm.Lock(name, poison=False)
    victim, waiter = start(dies, name, "condition-wait"), start(goes_on, name, "condition-wait")
    hears(victim, "waits")
    hears(waiter, "waits")
    with mine:
        pass  # both sleep now
    kill(victim)
    run(dies, name, "condition-notify")
    hears(waiter, "woken")
    assert ends(waiter) == ""


@PAIRS
def test_a_reader_and_a_writer_that_are_killed(name, dies, goes_on):
    mine = shm.RwLock(name, poison=False)
    for verb in ["reader-hold", "writer-hold"]:
        holder = holds(dies, name, verb)
        waiter = start(goes_on, name, "write")
        until_somebody_sleeps(name)
        kill(holder)
        assert ends(waiter) == ""
    del mine


@PAIRS
def test_a_struct_with_a_bool_and_an_enum(name, dies, goes_on):
    run(dies, name, "struct-write", 7)
    assert run(goes_on, name, "struct-read") == "7 1.5 -2 6 1"
    run(goes_on, name, "struct-write", -8)
    assert run(dies, name, "struct-read") == "-8 1.5 -2 6 1"
    found = shm.Value.open(name)
    golden = bytes.fromhex("f8ffffffffffffff" "000000000000f83f" "00000000000000c0" "0601000000000000")
    assert found.get_bytes() == golden
    assert found.schema == "Crossing{cars:i64,at:[f64;2],light:Light(u8){Red=0,Amber=5,Green=6},open:bool,_pad:[u8;6]}"
    for who in WHO:
        assert run(who, name, "wrong-type") == "mismatch"


def test_the_schema_is_the_end_of_the_segment(name):
    mine = shm.Value(name, "i64", 0)
    data = pathlib.Path("/dev/shm", name).read_bytes()
    assert data.endswith(b"i64") and len(data) == mine.info().bytes


def test_all_at_once(name):
    mine = shm.Value(name, "i64", 0)
    times = {"rust": 400_000, "c": 300_000, "python": 50_000}
    for process in [start(who, name, "add", count) for who, count in times.items() for _ in range(2)]:
        ends(process)
    assert mine.get() == 2 * sum(times.values())


def test_a_stopped_holder_is_shown(name):
    mine = shm.Value(name, "i64", 0)
    for who in WHO:
        holder = holds(who, name, "value-hold")
        holder.send_signal(signal.SIGSTOP)
        assert mine.info().holder_process == holder.pid
        assert mine.get() == 0
        kill(holder)
    mine.add(1)


def test_a_storm_of_kills(name):
    """Any language holds or waits in any way, and is killed; after each kill all counts are what they should be."""
    seed = int(os.environ.get("ROBUST_SHM_STORM_SEED", time.time_ns() % 2**32))
    print("ROBUST_SHM_STORM_SEED", seed)
    dice = random.Random(seed)
    # Elements, permits, events and so on have names of their own.
    names = {kind: f"{name}-{kind}" for kind in ["value", "array", "semaphore", "event", "rwlock"]}
    value = shm.Value(names["value"], "i64", 0)
    array = shm.Array(names["array"], "i64", 64)
    semaphore = shm.Semaphore(names["semaphore"], 1)
    event = shm.Event(names["event"])
    lock = shm.RwLock(names["rwlock"], poison=False)
    verbs = {
        "value": ["value-hold"],
        "array": ["array-hold"],
        "semaphore": ["permit-hold"],
        "event": ["event-hold"],
        "rwlock": ["reader-hold", "writer-hold"],
    }
    total = 0
    for done in range(KILLS):
        kind = dice.choice(list(verbs))
        victim = start(dice.choice(list(WHO)), names[kind], dice.choice(verbs[kind]))
        # Killed when it has what it wants, or anywhere on its way there.
        if dice.random() < 0.7:
            hears(victim, "held")
        else:
            time.sleep(dice.random() * 0.05)
        kill(victim)
        if kind == "value" and done % 8 == 0:
            times = dice.randrange(1, 50)
            run(dice.choice(list(WHO)), names[kind], "add", times)
            total += times
        assert value.get() == total
        with value.lock(LIMIT):
            pass
        with array.recover(LIMIT):
            array[:] = [done] * 64
        with semaphore.acquire(LIMIT):
            assert semaphore.available == 0
        with lock.write(LIMIT):
            pass
        event.set()
        assert event.wait(LIMIT)
        event.clear()
    assert value.get() == total and semaphore.available == 1


def test_how_soon_the_next_one_holds_it(name):
    """From SIGKILL until the waiter has said that it holds: a figure, and no assertion about time.

    ROBUST_SHM_HANDOVERS=50 tests/languages/run -s -k how_soon
    """
    times = {pair: [] for pair in itertools.product(WHO, WHO)}
    for at in range(HANDOVERS):
        for (dies, goes_on), found in times.items():
            # A new one each time: where somebody has slept before, it may still look so.
            mine = shm.Value(f"{name}-{at}-{dies}-{goes_on}", "i64", 0)
            holder = holds(dies, mine.name, "value-hold")
            waiter = start(goes_on, mine.name, "value-hold")
            until_somebody_sleeps(mine.name)
            begin = time.monotonic_ns()
            holder.send_signal(signal.SIGKILL)
            hears(waiter, "held")
            found.append(time.monotonic_ns() - begin)
            kill(holder)
            kill(waiter)
            assert mine.get() == 0
    print(f"\nmilliseconds from SIGKILL until the next one has said that it holds, of {HANDOVERS}: median (longest)")
    print(f"{'dies / goes on':16}" + "".join(f"{goes_on:>16}" for goes_on in WHO))
    for dies in WHO:
        cells = [(statistics.median(times[dies, goes_on]) / 1e6, max(times[dies, goes_on]) / 1e6) for goes_on in WHO]
        print(f"{dies:16}" + "".join(f"{f'{median:.2f} ({longest:.2f})':>16}" for median, longest in cells))
