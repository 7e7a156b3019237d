"""A second interpreter of one process must not share the native half with the first. From 3.12 on, Python sees to that."""

from __future__ import annotations

import importlib
import sys

if sys.version_info < (3, 12):
    try:
        _interpreters = importlib.import_module("_xxsubinterpreters")
    except ImportError:
        pass  # then there are none that Python code could make
    else:
        if _interpreters.get_current() != _interpreters.get_main():
            raise ImportError("robust_shm._native does not support loading in subinterpreters")
