"""Lock, add one, unlock with Python's multiprocessing: `python.py ROUNDS MILLISECONDS`.

Prints one line a contender: its name, a tab, nanoseconds for one operation in each round.
"""

import os
import sys
import time
from multiprocessing import Array, Lock, Value


def value(times, shared=Value("q", 0)):
    for _ in range(times):
        with shared.get_lock():
            shared.value += 1


def array(times, shared=Array("q", 8)):
    for _ in range(times):
        with shared.get_lock():
            shared[0] += 1


def lock_only(times, lock=Lock()):
    for _ in range(times):
        with lock:
            pass


CONTENDERS = {
    "Python multiprocessing.Value('q')": value,
    "Python multiprocessing.Array('q', 8)": array,
    "Python multiprocessing.Lock, without adding": lock_only,
}


def nanoseconds(run, times):
    start = time.process_time_ns()
    run(times)
    return (time.process_time_ns() - start) / times


def main(rounds, milliseconds):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, [cores[1 % len(cores)]])
    figures = {name: [] for name in CONTENDERS}
    times = {name: max(1, int(milliseconds * 1e6 / nanoseconds(run, 2000))) for name, run in CONTENDERS.items()}
    for _ in range(rounds):
        for name, run in CONTENDERS.items():
            figures[name].append(nanoseconds(run, times[name]))
    for name, found in figures.items():
        print(name, " ".join(f"{one:.2f}" for one in found), sep="\t")


main(int(sys.argv[1]), float(sys.argv[2]))
