"""The README is what happens."""

import ctypes
import multiprocessing
import pathlib
import re

import numpy as np
import pytest

import robust_shm as shm

README = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
TABLE = README.split("| `multiprocessing` | here |")[1].split("\n\n")[0].splitlines()[2:]
ROWS = [re.findall(r"`([^`]+)`", line)[:2] for line in TABLE]


@pytest.mark.parametrize("at", range(len(PROGRAMS)))
def test_programs_run(name, at):
    program = PROGRAMS[at].replace("acme-balance", name).replace('unique_name("readme")', f'unique_name("{name}")')
    exec(compile(program, f"README program {at}", "exec"), {})


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


def run(code, names):
    """The value of an expression; `None` of a statement."""
    try:
        return eval(compile(code, code, "eval"), names)
    except SyntaxError:
        return exec(compile(code, code, "exec"), names)


def test_each_row_of_the_table_runs_on_both_sides(name):
    """One after the other, so that later rows use the names of earlier ones; what has a value has the same."""
    assert len(ROWS) == 20 and all(len(row) == 2 for row in ROWS)
    context = multiprocessing.get_context("spawn")
    both = {"np": np, "Point": Point}
    theirs = both | {it: getattr(context, it) for it in ("Value", "Array", "Lock", "BoundedSemaphore", "Event", "Condition")}
    ours = both | {it: getattr(shm, it) for it in ("Value", "Array", "Lock", "Semaphore", "Event", "Condition")}
    values = 0
    for at, (there, here) in enumerate(ROWS):
        ours["name"] = f"{name}-{at}"
        expected, found = run(there, theirs), run(here, ours)
        assert expected == found, f"{there} is {expected}, {here} is {found}"
        values += expected is not None
    assert values == 4
    assert theirs["v"].value == ours["v"].value == 1 and theirs["p"].x == ours["p"].x == 2.5
    assert theirs["a"][:] == ours["a"][:] == [1.0] + [0.0] * 9 and theirs["b"][:] == ours["b"][:]
    assert theirs["x"].tolist() == ours["x"].tolist()


def test_the_sentence_about_queues_stays_true():
    assert not hasattr(shm, "Queue") and not hasattr(shm, "RLock")
