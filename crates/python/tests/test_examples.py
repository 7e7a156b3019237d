"""The examples of the library, in Python: they say what those in Rust say."""

import pathlib
import subprocess
import sys

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples" / "python"


def says(example):
    ended = subprocess.run([sys.executable, EXAMPLES / example], capture_output=True, text=True, timeout=100)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.splitlines()


def test_squares():
    assert says("squares.py") == ["[25, 36, 49, 64]", "174"]


def test_bank():
    lines = says("bank.py")
    assert [line.split(":")[0] for line in lines] == ["without lock"] * 3 + ["with lock"] * 3
    assert lines[3:] == ["with lock: 200"] * 3
    assert lines[:3] != ["without lock: 200"] * 3


def test_all_are_run():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == ["bank.py", "squares.py"]
