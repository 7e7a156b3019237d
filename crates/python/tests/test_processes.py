"""fork, spawn, forkserver, pickle, copy."""

import copy
import multiprocessing
import os
import pickle
import signal

import numpy as np
import pytest

import robust_shm as shm


def forked(work):
    """The number of a forked child that runs `work`, and ends with 0, if it is true; after half a minute by a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            code = 0 if work() else 2
        except BaseException:  # noqa: BLE001
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def ended(pid):
    """The exit code of a child."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_fork(work):
    return ended(forked(work))


def raises(error, work):
    try:
        work()
    except error:
        return True
    return False


def test_a_forked_child_holds_nothing(name):
    value = shm.Value(name, "i64", 1)
    with value:
        value.value = 2

        def work():
            assert not value.is_held and value.value == value.get() == 1
            assert raises(shm.NotHeld, lambda: setattr(value, "value", 3))
            assert raises(shm.TimedOut, lambda: value.lock(timeout=0.01).__enter__())
            return raises(shm.NotHeld, lambda: value.__exit__(None, None, None))

        assert in_fork(work) == 0
        assert value.is_held and value.value == 2
    assert value.get() == 2


def test_a_forked_child_is_a_user(name):
    value = shm.Value(name, "i64", 1)
    assert in_fork(lambda: value.add(1) == 2 and value.info().attached == 2) == 0
    assert value.get() == 2 and value.info().attached == 1


def test_a_forked_child_can_go_on_when_its_parent_does_not_hold_any_more(name):
    value = shm.Value(name, "i64", 1)
    gate = shm.Event(name + "-gate")

    def work():
        assert gate.wait(30)
        with value:
            value.value += 1
        return True

    with value:
        value.value = 5
        pid = forked(work)
    gate.set()
    assert ended(pid) == 0
    assert value.get() == 6


def test_a_forked_child_cannot_write_in_place(name):
    array = shm.Array(name, "i64", 4)
    with array:
        x, view = array.np, array.view()

        def work():
            assert not array.is_held
            assert raises(shm.NotHeld, lambda: array.__setitem__(0, 1))
            assert raises(ValueError, lambda: x.__setitem__(0, 1))
            assert raises(ValueError, lambda: view[0])
            return raises(shm.NotHeld, lambda: array.np)

        assert in_fork(work) == 0
        x[1], view[2] = 7, 8
    assert array[:] == [0, 7, 8, 0]
    assert in_fork(lambda: array.add(0, 1) == 1) == 0
    with array:
        x[0] += array.np[0]
    assert array[0] == 2


def test_permits_and_readers_of_a_parent_are_not_the_childs(name):
    semaphore, lock = shm.Semaphore(name, 2), shm.RwLock(name + "-l")
    permit = semaphore.acquire()
    with semaphore, lock.read():

        def work():
            assert raises(shm.NotHeld, lambda: semaphore.__exit__(None, None, None))
            assert raises(shm.NotHeld, permit.release)
            assert not lock.is_held
            with lock.read():
                pass
            return semaphore.available == 0

        assert in_fork(work) == 0
        assert semaphore.available == 0 and lock.info().active_readers == 1
    permit.release()
    assert semaphore.available == 2


def add_in(value, array, times):
    for _ in range(times):
        with value:
            value.value += 1
        with array:
            array.np[:] += 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_handles_are_arguments_of_processes(name, method):
    context = multiprocessing.get_context(method)
    value, array = shm.Value(name, "i64", 0), shm.Array(name + "-a", "f64", 16)
    processes = [context.Process(target=add_in, args=(value, array, 300)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert value.get() == 900 and array[:] == [900.0] * 16


def square(pair):
    results, i = pair
    with results:
        results[i] = i * i
    return results[i]


def test_handles_go_through_a_pool(name):
    results = shm.Array(name, "i64", 10)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(square, [(results, i) for i in range(10)]) == [i * i for i in range(10)]
    assert results[:] == [i * i for i in range(10)]


def all_kinds(name):
    return [
        shm.Value(name + "v", "i64", 4),
        shm.Array(name + "a", "f32", 3),
        shm.Lock(name + "l"),
        shm.RwLock(name + "r"),
        shm.Event(name + "e"),
        shm.Semaphore(name + "s", 3),
    ]


def test_copies_are_other_handles_of_the_same(name):
    for handle in all_kinds(name):
        for again in [pickle.loads(pickle.dumps(handle)), copy.copy(handle), copy.deepcopy(handle)]:
            assert type(again) is type(handle) and again is not handle
            assert (again.name, again.schema, again.was_created) == (handle.name, handle.schema, False)
        assert handle.info().attached == 2
    of = shm.Condition(shm.Lock(name + "c"), 1)
    condition = pickle.loads(pickle.dumps(of))
    with condition:
        condition.notify()


def test_what_is_held_or_removed_is_not_pickled(name):
    value, array, lock = shm.Value(name, "i64"), shm.Array(name + "a", "i", 2), shm.RwLock(name + "l")
    with value, array.read(), lock.write():
        for held in (value, array, lock):
            with pytest.raises(shm.LockError, match="holds"):
                pickle.dumps(held)
    shm.remove(name)
    with pytest.raises(shm.LockError, match="removed"):
        pickle.dumps(value)


def test_a_pickle_of_what_is_gone(name):
    value = shm.Value(name, "i64")
    kept = pickle.dumps(value)
    del value
    with pytest.raises(shm.NotFound):
        pickle.loads(kept)
    other = shm.Value(name, "u64")
    with pytest.raises(shm.TypeMismatch):
        pickle.loads(kept)
    del other


def test_tags_and_owners_are_pickled(name):
    value = shm.Value(name, "i64", 1, tag="cents", allow_owner=os.getuid())
    assert pickle.loads(pickle.dumps(value)).get() == 1
    with pytest.raises(shm.TypeMismatch):
        shm.Value.open(name, "i64")


def test_permits_are_not_pickled(name):
    semaphore = shm.Semaphore(name, 1)
    with pytest.raises(TypeError):
        pickle.dumps(semaphore.acquire())


def test_errors_are_pickled(name):
    with pytest.raises(shm.NotFound) as error:
        shm.Value.open(name)
    again = pickle.loads(pickle.dumps(error.value))
    assert type(again) is shm.NotFound and again.name == name and str(again) == str(error.value)


def test_fork_with_threads_that_hold(name):
    """A child of a process of many threads that lock: it can use all of it."""
    import threading

    values = [shm.Value(f"{name}-{i}", "i64") for i in range(4)]
    stop = threading.Event()

    def work(value):
        while not stop.is_set():
            with value:
                value.value += 1

    threads = [threading.Thread(target=work, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert in_fork(lambda: all(value.add(1) for value in values) and not any(v.is_held for v in values)) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_numpy_of_a_parent_does_not_keep_a_child_alive(name):
    array = shm.Array(name, "i64", 2)
    with array:
        x = array.np
    assert in_fork(lambda: isinstance(x, np.ndarray) and x[0] == 0) == 0
    assert array.info().attached == 1
