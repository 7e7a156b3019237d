"""The native half. What is for users is in the package itself."""

from typing import Any

from . import (
    Array as Array,
    Changes as Changes,
    Condition as Condition,
    Event as Event,
    EventObserver as EventObserver,
    Handle as Handle,
    Lock as Lock,
    Permit as Permit,
    Record as Record,
    RwLock as RwLock,
    Section as Section,
    SegmentInfo as SegmentInfo,
    Semaphore as Semaphore,
    SemaphoreObserver as SemaphoreObserver,
    User as User,
    Value as Value,
    ValueObserver as ValueObserver,
    gc as gc,
    info as info,
    ls as ls,
    observe as observe,
    open as open,
    orphans as orphans,
    remove as remove,
    unique_name as unique_name,
)

def _in_child() -> None: ...
def _describe(schema: str) -> tuple[Any, ...]: ...
def _record(schema: str, values: Any) -> Record: ...
def _open(class_: type[Handle], arguments: tuple[Any, ...], settings: dict[str, Any]) -> Handle: ...
