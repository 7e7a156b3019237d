"""A condition of Python's multiprocessing, notified and waited for to and fro: `python_condition.py CORES ROUNDS MILLISECONDS`.

Prints one line: the name, a tab, nanoseconds for one hand-over in each round.
"""

import os
import sys
import time
from multiprocessing import Condition, Process, Value


def pin(which):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, [cores[which % len(cores)]])


def hand_over(condition, turn, mine):
    """Waits for its turn, and gives it to the other."""
    with condition:
        condition.wait_for(lambda: turn.value == mine)
        turn.value = 1 - mine
        condition.notify()


def answer(which, condition, turn):
    pin(which)
    while True:
        hand_over(condition, turn, 1)


def main(cores, rounds, milliseconds):
    condition, turn = Condition(), Value("i", 0, lock=False)
    other = Process(target=answer, args=(1 % cores, condition, turn), daemon=True)
    other.start()
    pin(0)
    figures = []
    for _ in range(rounds + 1):
        count, start = 0, time.perf_counter_ns()
        end = start + milliseconds * 1e6
        while (now := time.perf_counter_ns()) < end:
            hand_over(condition, turn, 0)
            count += 1
        figures.append((now - start) / max(count, 1) / 2)
    other.terminate()
    print("Python multiprocessing.Condition", " ".join(f"{one:.2f}" for one in figures[1:]), sep="\t")


main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
