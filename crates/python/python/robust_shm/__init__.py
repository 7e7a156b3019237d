"""Named, typed shared memory between unrelated processes, that survives `kill -9`.

>>> import robust_shm as shm
>>> balance = shm.Value(shm.unique_name("balance"), "i64", 200)
>>> with balance:
...     balance.value += 1
>>> balance.get()
201
"""

from . import _interpreter  # noqa: F401  (first of all)
from ._errors import (
    AlreadyExists,
    Error,
    ForeignOrphan,
    ForeignOwner,
    InvalidArgument,
    InvalidName,
    InvalidValue,
    LockError,
    NotASegment,
    NotFound,
    NotHeld,
    OptionMismatch,
    OutOfSharedMemory,
    PermissionDenied,
    Poisoned,
    TimedOut,
    Truncated,
    TypeMismatch,
    UnknownOwner,
    UnsupportedFormat,
    WouldBlock,
    WouldDeadlock,
)
from ._native import (
    Array,
    Changes,
    Condition,
    Event,
    EventObserver,
    Handle,
    Lock,
    Permit,
    Record,
    RwLock,
    Section,
    SegmentInfo,
    Semaphore,
    SemaphoreObserver,
    User,
    Value,
    ValueObserver,
    gc,
    info,
    ls,
    observe,
    open,
    orphans,
    remove,
    unique_name,
)
from ._types import Struct, struct

# Where users meet them: in error messages, in `pickle`s of errors.
for _class in [_errors.Error, *_errors.Error.__subclasses__(), _errors.LockError, *_errors.LockError.__subclasses__()]:
    _class.__module__ = __name__
del _class
