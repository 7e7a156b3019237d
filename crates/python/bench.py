"""Nanoseconds for an operation, beside `multiprocessing` in the same run: medians of interleaved rounds.

`bench.py --check` ends with 1 where a ratio is above what is promised.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing import shared_memory

import numpy as np

import robust_shm as shm

COUNT, ROUNDS = 50_000, 11

value = shm.Value(shm.unique_name("bench"), "i64")
array = shm.Array(shm.unique_name("bench"), "f64", 1024)
record = shm.Value(shm.unique_name("bench"), "{balance:i64,open:bool,_pad:[u8;7]}")
mp_value = multiprocessing.Value("q", 0)
mp_array = multiprocessing.Array("d", 1024)
mp_lock = multiprocessing.Lock()
memory = shared_memory.SharedMemory(create=True, size=8192)
cell = memory.buf.cast("q")
floats = np.frombuffer(memory.buf, dtype="f8")


def with_value(n: int) -> None:
    for _ in range(n):
        with value:
            value.value += 1


def with_field(n: int) -> None:
    for _ in range(n):
        with record:
            record.balance += 1


def add(n: int) -> None:
    add = value.add
    for _ in range(n):
        add(1)


def update(n: int) -> None:
    update, change = value.update, lambda x: x + 1
    for _ in range(n):
        update(change)


def get(n: int) -> None:
    get = value.get
    for _ in range(n):
        get()


def index(n: int) -> None:
    for _ in range(n):
        with array:
            array[0] += 1.0


def in_place(n: int) -> None:
    for _ in range(n // 10):
        with array:
            x = array.np
            x += 1.0


def mp_with_value(n: int) -> None:
    for _ in range(n):
        with mp_value.get_lock():
            mp_value.value += 1


def mp_get(n: int) -> None:
    for _ in range(n):
        mp_value.value


def mp_index(n: int) -> None:
    for _ in range(n):
        with mp_array.get_lock():
            mp_array[0] += 1.0


def mp_in_place(n: int) -> None:
    for _ in range(n // 10):
        with mp_array.get_lock():
            x = np.frombuffer(mp_array.get_obj())
            x += 1.0


def memory_value(n: int) -> None:
    for _ in range(n):
        with mp_lock:
            cell[0] += 1


def memory_in_place(n: int) -> None:
    for _ in range(n // 10):
        with mp_lock:
            np.add(floats, 1.0, out=floats)


VALUE, MEMORY = "mp.Value with its lock", "SharedMemory + mp.Lock"
ARRAY, OVER_ARRAY = "mp.Array with its lock", "np.frombuffer of mp.Array"
ROWS: list[tuple[str, Callable[[int], None], Callable[[int], None], str, float | None]] = [
    ("with v: v.value += 1", with_value, mp_with_value, VALUE, 0.40),
    ("with v: v.value += 1", with_value, memory_value, MEMORY, 0.70),
    ("v.add(1)", add, mp_with_value, VALUE, 0.13),
    ("v.update(lambda x: x + 1)", update, mp_with_value, VALUE, None),
    ("with v: v.field += 1", with_field, mp_with_value, VALUE, None),
    ("v.get()", get, mp_get, "reading mp.Value.value", None),
    ("with a: a[0] += 1", index, mp_index, ARRAY, 0.30),
    ("1,024 doubles: with a: x = a.np; x += 1", in_place, mp_in_place, OVER_ARRAY, 1.0),
    ("1,024 doubles: with a: x = a.np; x += 1", in_place, memory_in_place, MEMORY, None),
]


def main() -> int:
    cases = list(dict.fromkeys(case for row in ROWS for case in row[1:3]))
    times: dict[Callable[[int], None], list[float]] = {case: [] for case in cases}
    for case in cases:
        case(1000)
    for _ in range(ROUNDS):
        for case in cases:
            count = COUNT // 10 if "in_place" in case.__name__ else COUNT
            start = time.perf_counter_ns()
            case(COUNT)
            times[case].append((time.perf_counter_ns() - start) / count)
    missed = 0
    print(f"{'':42}{'ns':>8}   ratio   at most   of")
    for name, ours, theirs, of, most in ROWS:
        ratio = statistics.median(a / b for a, b in zip(times[ours], times[theirs], strict=True))
        missed += most is not None and ratio > most
        goal = f"{most:7.2f}" if most is not None else "      -"
        print(f"{name:42}{statistics.median(times[ours]):8.0f}  {ratio:6.2f}   {goal}   {of}")
    return int("--check" in sys.argv and missed > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        del cell, floats
        memory.close()
        memory.unlink()
