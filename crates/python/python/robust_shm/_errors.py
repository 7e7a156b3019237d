"""The exceptions, in Python, because they have two parents each: ours, and the one that Python programs catch already.

The texts are the library's; the attributes are what they are made of.
"""

from __future__ import annotations


class Error(OSError):
    """A segment could not be created, opened, inspected or removed."""

    name: str | None = None
    """The segment."""
    expected: str | None = None
    """What this program asked for, where the error is a difference."""
    found: str | None = None
    """What there is instead."""


class InvalidName(Error, ValueError):
    """The name cannot name a segment."""


class InvalidArgument(Error, ValueError):
    """What was asked for is outside of what there can be."""


class NotFound(Error, FileNotFoundError):
    """No segment of that name exists."""


class AlreadyExists(Error, FileExistsError):
    """`create` found a live segment of that name."""


class TypeMismatch(Error, TypeError):
    """The segment holds something else than what the program asked for."""


class OptionMismatch(Error, ValueError):
    """The segment was created with other options than this opener states."""


class NotASegment(Error, ValueError):
    """The file of that name was not made by robust-shm, or its header contradicts itself."""


class UnsupportedFormat(Error, ValueError):
    """The segment was made by an incompatible version, or for another kind of machine."""


class Truncated(Error, ValueError):
    """The file is shorter than its header says."""


class PermissionDenied(Error, PermissionError):
    """The operating system refused access."""


class ForeignOwner(Error, PermissionError):
    """The segment belongs to another user: see `allow_owner`."""


class UnknownOwner(Error, PermissionError):
    """The segment belongs to a user whom this user namespace has no number for."""


class ForeignOrphan(Error, PermissionError):
    """The name is taken by what another user's segment has left."""


class OutOfSharedMemory(Error, MemoryError):
    """Shared memory is full."""


class LockError(Exception):
    """A lock could not be taken, or is not held."""

    name: str | None = None
    """The segment."""


class WouldBlock(LockError, TimeoutError):
    """It is not to be had without waiting, and the timeout is 0."""


class TimedOut(LockError, TimeoutError):
    """It was not to be had within the timeout."""


class WouldDeadlock(LockError, RuntimeError):
    """This very thread holds it already."""


class Poisoned(LockError, RuntimeError):
    """A holder died amid a change: `with x.recover():` repairs."""


class NotHeld(LockError, RuntimeError):
    """This thread does not hold the lock, and only a holder may do this."""


class InvalidValue(LockError, ValueError):
    """The bytes are no value of the type."""
