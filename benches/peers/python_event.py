"""Two events of Python's multiprocessing, set, waited for and cleared to and fro: `python_event.py CORES ROUNDS MILLISECONDS`.

Prints one line: the name, a tab, nanoseconds for one hand-over in each round.
"""

import os
import sys
import time
from multiprocessing import Event, Process


def pin(which):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, [cores[which % len(cores)]])


def answer(which, asked, answered):
    pin(which)
    while True:
        asked.wait()
        asked.clear()
        answered.set()


def main(cores, rounds, milliseconds):
    asked, answered = Event(), Event()
    other = Process(target=answer, args=(1 % cores, asked, answered), daemon=True)
    other.start()
    pin(0)
    figures = []
    for _ in range(rounds + 1):
        count, start = 0, time.perf_counter_ns()
        end = start + milliseconds * 1e6
        while (now := time.perf_counter_ns()) < end:
            asked.set()
            answered.wait()
            answered.clear()
            count += 1
        figures.append((now - start) / max(count, 1) / 2)
    other.terminate()
    print("Python multiprocessing.Event", " ".join(f"{one:.2f}" for one in figures[1:]), sep="\t")


main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
