"""The verbs of src/verbs.rs, in Python: verbs.py NAME VERB [ARGUMENT]."""

import signal
import sys

import robust_shm as shm

ELEMENTS = 64
PERMITS = 1
CROSSING = "Crossing{cars:i64,at:[f64;2],light:Light(u8){Red=0,Amber=5,Green=6},open:bool,_pad:[u8;6]}"
LIGHTS = {"Red": 0, "Amber": 5, "Green": 6}


def say(what):
    print(what, flush=True)


def hold():
    say("held")
    while True:
        signal.pause()


def value(name):
    return shm.Value(name, "i64", 0)


def array(name):
    return shm.Array(name, "i64", ELEMENTS)


def unpoisoned(kind, name):
    return kind(name, poison=False)


def add(name, times):
    shared = value(name)
    for _ in range(times):
        with shared:
            shared.value += 1


def value_hold(name, _):
    shared = value(name)
    with shared:
        shared.value = -1
        hold()


def get(name, _):
    say(shm.Value.open(name, "i64").get())


def fill(name, number):
    elements = array(name)
    try:
        with elements:
            elements[:] = [number] * ELEMENTS
    except shm.Poisoned:
        say("poisoned")


def array_hold(name, _):
    elements = array(name)
    with elements:
        elements[: ELEMENTS // 2] = [-1] * (ELEMENTS // 2)
        hold()


def repair(name, number):
    elements = array(name)
    with elements.recover():
        elements[:] = [number] * ELEMENTS


def read(name, _):
    elements = array(name)
    with elements.read():
        found = set(elements[:])
    say(found.pop() if len(found) == 1 else "torn")


def permit(name, _):
    with shm.Semaphore(name, PERMITS) as index:
        say(index)


def permit_hold(name, _):
    with shm.Semaphore(name, PERMITS):
        hold()


def event_set(name, _):
    shm.Event(name).set()


def event_wait(name, _):
    shm.Event(name).wait()


def event_hold(name, _):
    event = shm.Event(name)
    say("held")
    event.wait()


def condition_wait(name, _):
    lock = unpoisoned(shm.Lock, name)
    condition = shm.Condition(lock, 1)
    with lock:
        say("waits")  # whoever has the lock now finds this one asleep
        condition.wait()
    say("woken")


def condition_notify(name, _):
    lock = unpoisoned(shm.Lock, name)
    condition = shm.Condition(lock, 1)
    with lock:
        condition.notify_all()


def write(name, _):
    with unpoisoned(shm.RwLock, name).write():
        pass


def reader_hold(name, _):
    with unpoisoned(shm.RwLock, name).read():
        hold()


def writer_hold(name, _):
    with unpoisoned(shm.RwLock, name).write():
        hold()


def struct_write(name, number):
    new = {"cars": number, "at": (1.5, -2.0), "light": "Green", "open": True, "_pad": bytes(6)}
    shm.Value(name, CROSSING, new, persistent=True).set(new)


def struct_read(name, _):
    found = shm.Value.open(name, CROSSING).get()
    x, y = found.at
    say(f"{found.cars} {x:g} {y:g} {LIGHTS[found.light]} {int(found.open)}")


def wrong_type(name, _):
    try:
        shm.Value.open(name, "u16")
    except shm.TypeMismatch:
        say("mismatch")


if __name__ == "__main__":
    name, verb, *rest = sys.argv[1:]
    globals()[verb.replace("-", "_")](name, int(rest[0]) if rest else 1)
