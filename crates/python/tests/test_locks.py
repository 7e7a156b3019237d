"""Lock, RwLock, Event, Semaphore, Condition: as those of `multiprocessing` are tested, and what they have not."""

import gc
import threading
import time

import pytest
from conftest import asleep

import robust_shm as shm


def in_thread(work):
    """What `work` returns, or raises, in another thread."""
    result = []

    def run():
        try:
            result.append(work())
        except BaseException as error:  # noqa: BLE001
            result.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert result, "the thread hangs"
    return result[0]


# ---------------------------------------------------------------------------------------------------------------- Lock


def test_lock(name):
    lock = shm.Lock(name)
    assert lock.acquire() is True and lock.is_held
    assert in_thread(lambda: lock.acquire(block=False)) is False
    assert in_thread(lambda: lock.acquire(timeout=0.01)) is False
    assert in_thread(lambda: lock.acquire(True, -1)) is False
    assert lock.release() is None and not lock.is_held
    with pytest.raises(shm.NotHeld):
        lock.release()


def test_lock_is_a_context(name):
    lock = shm.Lock(name)
    with lock as inside:
        assert inside is lock and lock.is_held
        with pytest.raises(shm.WouldDeadlock):
            lock.acquire()
        with pytest.raises(shm.WouldDeadlock):
            shm.Lock(name).acquire(timeout=1)
        assert isinstance(in_thread(lock.release), shm.NotHeld)
    with lock.lock(timeout=1):
        pass
    with pytest.raises(KeyError):
        with lock:
            raise KeyError
    assert not lock.is_held and not lock.is_poisoned


def test_lock_that_was_given_back_amid_its_block(name):
    lock = shm.Lock(name)
    with pytest.raises(shm.NotHeld):
        with lock:
            lock.release()
    with pytest.raises(KeyError) as error:
        with lock:
            lock.release()
            raise KeyError
    assert "not held" in error.value.__notes__[0]


def test_lock_of_a_block_that_is_used_again(name):
    lock = shm.Lock(name)
    block = lock.lock(timeout=1)
    for _ in range(3):
        with block:
            assert lock.is_held


# -------------------------------------------------------------------------------------------------------------- RwLock


def test_rwlock(name):
    lock = shm.RwLock(name)
    with lock.read() as inside:
        assert inside is lock and lock.is_held

        def read():
            with lock.read():
                return lock.info().active_readers

        assert in_thread(read) == 2
        assert isinstance(in_thread(lock.write(timeout=0.01).__enter__), shm.TimedOut)
        with pytest.raises(shm.WouldDeadlock):
            lock.read().__enter__()
        with pytest.raises(shm.WouldDeadlock):
            lock.write().__enter__()
    with lock.write():
        assert isinstance(in_thread(lock.read(timeout=0.01).__enter__), shm.TimedOut)
        assert isinstance(in_thread(lock.read(timeout=0).__enter__), shm.WouldBlock)
        with pytest.raises(shm.WouldDeadlock):
            lock.write().__enter__()
    assert not lock.is_held


def test_rwlock_without_a_block(name):
    lock = shm.RwLock(name, readers=3)
    assert lock.info().reader_slots == 3
    with pytest.raises(shm.NotHeld):
        lock.read().__exit__(None, None, None)
    with pytest.raises(shm.NotHeld):
        lock.write().__exit__(None, None, None)


# --------------------------------------------------------------------------------------------------------------- Event


def test_event(name):
    event = shm.Event(name)
    assert event.is_set() is False and event.wait(0.0) is False and event.wait(timeout=0.01) is False
    event.set()
    assert event.is_set() is True and event.wait(0.0) is True and event.wait() is True
    event.clear()
    assert event.is_set() is False and event.wait(-1) is False
    observer = shm.observe(name)
    assert isinstance(observer, shm.EventObserver) and not observer.is_set()
    event.set()
    assert observer.is_set()


def test_event_wakes_all(name, child):
    event = shm.Event(name)
    others = [child("say(shm.Event.open(args[0]).wait())", name) for _ in range(2)]
    asleep(name)
    event.set()
    for other in others:
        other.hears("True")


# ----------------------------------------------------------------------------------------------------------- Semaphore


def test_semaphore(name):
    semaphore = shm.Semaphore(name, 2)
    assert semaphore.permits == semaphore.available == 2
    first = semaphore.acquire()
    second = semaphore.acquire(timeout=1)
    assert {first.index, second.index} == {0, 1} and semaphore.available == 0
    assert isinstance(in_thread(lambda: semaphore.acquire(timeout=0)), shm.WouldBlock)
    assert isinstance(in_thread(lambda: semaphore.acquire(timeout=0.01)), shm.TimedOut)
    with pytest.raises(shm.WouldDeadlock):
        semaphore.acquire()
    first.release()
    assert semaphore.available == 1
    with pytest.raises(shm.NotHeld):
        first.release()
    assert isinstance(in_thread(second.release), shm.NotHeld)
    del second
    gc.collect()  # the thread's error had it
    assert semaphore.available == 2


def test_semaphore_is_a_context(name):
    semaphore = shm.Semaphore(name, 2)
    with semaphore as outer, semaphore as inner:
        assert {outer, inner} == {0, 1} and semaphore.available == 0
    assert semaphore.available == 2
    with semaphore.acquire() as permit:
        assert permit.index in (0, 1) and semaphore.available == 1
    assert semaphore.available == 2
    with pytest.raises(shm.NotHeld):
        semaphore.__exit__(None, None, None)
    observer = shm.observe(name)
    assert isinstance(observer, shm.SemaphoreObserver) and (observer.permits, observer.available) == (2, 2)


def test_semaphore_of_so_many_permits(name):
    with pytest.raises(shm.InvalidArgument):
        shm.Semaphore(name, 0)
    semaphore = shm.Semaphore(name, 3)
    assert shm.Semaphore.open(name).permits == 3
    with pytest.raises(shm.TypeMismatch):
        shm.Semaphore(name, 4)
    del semaphore


# ----------------------------------------------------------------------------------------------------------- Condition


def condition_of(name, kind):
    lock = shm.Lock(name) if kind == "lock" else shm.Array(name, "i64", 2)
    return lock, shm.Condition(lock)


@pytest.mark.parametrize("kind", ["lock", "array"])
def test_condition_notifies(name, kind, child):
    lock, condition = condition_of(name, kind)
    code = "c = shm.Condition(shm.open(args[0]))\nwith c:\n    say('in')\n    say(c.wait())"
    others = [child(code, name) for _ in range(3)]
    for other in others:
        other.hears("in")
        asleep(name)
    with condition:
        condition.notify()
    with lock:
        condition.notify(2**63)  # as all, and as quick
    for other in others:
        other.hears("True")
        other.ends()


@pytest.mark.parametrize("kind", ["lock", "array"])
@pytest.mark.parametrize("notify", [lambda c: c.notify_all(), lambda c: c.notify(4)], ids=["notify_all", "notify(4)"])
def test_condition_notifies_all_who_wait(name, kind, notify, child):
    """At once: each would say False, and not True, if it had to wait for another notification."""
    lock, condition = condition_of(name, kind)
    code = "c = shm.Condition(shm.open(args[0]))\nwith c:\n    say('in')\n    say(c.wait(timeout=20))"
    others = [child(code, name) for _ in range(4)]
    for other in others:
        other.hears("in")
    with lock:  # all are asleep
        notify(condition)
    for other in others:
        other.hears("True")
        other.ends()


def test_condition_wait_for(name, child):
    array, condition = condition_of(name, "array")
    other = child(
        "a = shm.open(args[0])\nc = shm.Condition(a)\nwith a:\n    say('in')\n    say(c.wait_for(lambda: a[0] == 4))\n    say(a[:])", name
    )
    other.hears("in")
    for i in range(1, 5):
        asleep(name)
        with array:
            array[0] = i
            condition.notify()
    other.hears("True")
    other.hears("[4, 0]")


@pytest.mark.parametrize("kind", ["lock", "array"])
def test_condition_in_time(name, kind):
    lock, condition = condition_of(name, kind)
    with lock:
        assert condition.wait(timeout=0.01) is False and lock.is_held
        assert condition.wait(timeout=0) is False and lock.is_held
        assert condition.wait_for(lambda: False, timeout=0.01) is False
        assert condition.wait_for(lambda: 7, timeout=0) == 7
        with pytest.raises(ZeroDivisionError):
            condition.wait_for(lambda: 1 / 0)
        assert lock.is_held


def test_condition_without_the_lock(name):
    lock, condition = condition_of(name, "lock")
    for call in (condition.wait, condition.notify, condition.notify_all, lambda: condition.wait_for(lambda: False)):
        with pytest.raises(shm.NotHeld):
            call()
    with lock:
        assert isinstance(in_thread(condition.notify), shm.NotHeld)


def test_conditions_are_three(name):
    lock = shm.Lock(name)
    assert shm.Condition(lock, 2).__reduce__()[1] == (lock, 2)
    with pytest.raises(ValueError):
        shm.Condition(lock, 3)
    for wrong in (shm.Value(name + "v", "i64"), None, "lock"):
        with pytest.raises(TypeError):
            shm.Condition(wrong)


def test_queue_of_two_conditions(name):
    """One writes, one reads, one place: nobody is lost, and all arrive in order."""
    array = shm.Array(name, "i64", 2)  # is it full; the item
    filled, emptied = shm.Condition(array, 0), shm.Condition(array, 1)
    got = []

    def consume():
        for _ in range(200):
            with array:
                filled.wait_for(lambda: array[0], timeout=30)
                got.append(array[1])
                array[0] = 0
                emptied.notify()

    thread = threading.Thread(target=consume)
    thread.start()
    for i in range(200):
        with array:
            emptied.wait_for(lambda: not array[0], timeout=30)
            array[:] = [1, i]
            filled.notify()
    thread.join()
    assert got == list(range(200))


def test_other_threads_run_while_one_waits(name, holder):
    lock = shm.Lock(name)
    one = holder(name)
    ticks = []

    def tick():
        end = time.monotonic() + 30
        while not done and time.monotonic() < end:
            ticks.append(1)
            time.sleep(0.001)
            if len(ticks) == 20:
                one.tell()

    done = []
    thread = threading.Thread(target=tick)
    thread.start()
    with lock:
        done.append(1)
    thread.join()
    assert len(ticks) >= 20
