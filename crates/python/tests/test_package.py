"""The package as it is installed."""

import importlib.resources
import inspect
import subprocess
import sys

import pytest

import robust_shm as shm

PUBLIC = {name: it for name, it in vars(shm).items() if not name.startswith("_") and not inspect.ismodule(it)}


def test_it_is_typed():
    files = {path.name for path in importlib.resources.files(shm).iterdir()}
    assert {"py.typed", "__init__.pyi", "_native.pyi"} <= files
    assert any(name.endswith(".abi3.so") for name in files)


def test_all_that_is_public_is_told_and_belongs_to_the_package():
    assert len(PUBLIC) > 40
    for name, it in PUBLIC.items():
        assert it.__doc__, name
        if inspect.isclass(it) and it is not shm.Struct:
            assert it.__module__ == "robust_shm", name


def test_each_error_has_two_parents():
    for it in PUBLIC.values():
        if inspect.isclass(it) and issubclass(it, (shm.Error, shm.LockError)) and it not in (shm.Error, shm.LockError):
            others = [base for base in it.__bases__ if base.__module__ == "builtins"]
            assert len(it.__bases__) == 2 and len(others) == 1, it


def test_importing_it_needs_no_numpy():
    code = "import sys, robust_shm; assert 'numpy' not in sys.modules and 'multiprocessing' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_second_interpreter_is_refused_and_no_crash():
    code = (
        "try:\n    import _interpreters as it\nexcept ImportError:\n    import _xxsubinterpreters as it\n"
        "one = it.create()\nimport robust_shm\n"
        "try:\n    failed = it.run_string(one, 'import robust_shm')\nexcept Exception as error:\n    failed = error\n"
        "print('refused' if failed else 'imported')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, "refused\n"), ended.stderr


@pytest.mark.parametrize("error", [shm.NotFound, shm.TimedOut])
def test_errors_can_be_made_by_hand(error):
    made = error("text")
    assert str(made) == "text" and made.name is None
