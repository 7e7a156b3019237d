"""In a forked child, what its parent was about to write to is not the child's: it has not got the lock."""

from __future__ import annotations

import os
import weakref

from ._native import Array

_writable: weakref.WeakValueDictionary[int, Array] = weakref.WeakValueDictionary()


def note(array: Array) -> None:
    """It has given away memory that can be written to, at least while its lock is held."""
    _writable[id(array)] = array


def _in_child() -> None:
    for array in list(_writable.values()):
        array._forked()


os.register_at_fork(after_in_child=_in_child)
