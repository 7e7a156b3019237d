"""Views of memory: they die with the block, and are never a crash."""

import ctypes
import gc
import signal
import threading

import numpy as np
import pytest

import robust_shm as shm


def test_a_view_is_the_memory(name):
    array = shm.Array(name, "d", 4)
    with array:
        view = array.view()
        assert (view.format, view.shape, view.readonly) == ("d", (4,), False) and view is array.view()
        view[3] = 2.5
        assert array[3] == 2.5


@pytest.mark.parametrize(
    ("kind", "format_", "shape"),
    [("u8", "B", (3,)), ("i16", "h", (3,)), ("u64", "Q", (3,)), ("f32", "f", (3,)), ("[i32;2]", "i", (3, 2)), ("[u8;5]", "B", (3, 5)), ("{a:i64}", "B", (24,)), ("u128", "B", (48,))],
)
def test_views_of_all_types(name, kind, format_, shape):
    array = shm.Array(name, kind, 3)
    with array:
        assert (array.view().format, array.view().shape) == (format_, shape)


def test_a_view_is_dead_after_the_block(name):
    array = shm.Array(name, "d", 4)
    with array:
        view = array.view()
    with pytest.raises(ValueError):
        view[3]
    with array:
        assert array.view() is not view


def test_outside_of_a_block_there_is_none(name):
    with pytest.raises(shm.NotHeld):
        shm.Array(name, "d", 4).view()
    with pytest.raises(TypeError):
        memoryview(shm.Array(name, "d", 4))


def test_a_readers_view_cannot_write(name):
    array = shm.Array(name, "d", [1, 2])
    with array.read():
        view = array.view()
        assert view.readonly and view.tolist() == [1, 2]
        with pytest.raises(TypeError):
            view[0] = 1
    with pytest.raises(ValueError):
        view[0]


def test_what_is_made_of_a_view_is_reported_and_points_to_something(name):
    array = shm.Array(name, "d", [7, 8])
    with pytest.raises(BufferError, match=name):
        with array:
            x = np.frombuffer(array.view())
    assert not array.is_held
    with array:  # it was given back all the same
        array[0] = 9
    del array
    gc.collect()
    assert x.tolist() == [9, 8]  # the mapping is there as long as the view
    del x


@pytest.mark.parametrize("make", [lambda view: view[1:], lambda view: memoryview(view), lambda view: view.cast("B"), lambda view: (ctypes.c_char * 8).from_buffer(view)])
def test_siblings_are_noticed(name, make):
    array = shm.Array(name, "d", 4)
    with pytest.raises(BufferError):
        with array:
            sibling = make(array.view())
    del sibling
    with array:
        make(array.view())  # gone before the end
        array.view()[0] = 1


def test_an_exception_is_not_hidden(name):
    array = shm.Array(name, "d", 4)
    with pytest.raises(ZeroDivisionError) as error:
        with array:
            sibling = array.view()[1:]
            1 / 0
    assert "outlives" in error.value.__notes__[0] and not array.is_held
    del sibling


def test_readers_have_views_of_their_own(name):
    array = shm.Array(name, "d", 4)
    inside, leave = threading.Event(), threading.Event()
    views, told = [], []

    def read():
        with array.read():
            views.append(array.view())
            inside.set()
            told.append(leave.wait(30))
            views[0][0]

    thread = threading.Thread(target=read)
    thread.start()
    assert inside.wait(30)
    with array.read():
        assert array.view() is not views[0]
    views[0][0]  # that of another thread's block goes on
    leave.set()
    thread.join()
    assert told == [True]
    with pytest.raises(ValueError):
        views[0][0]


def test_a_view_released_by_hand(name):
    array = shm.Array(name, "d", 4)
    with array:
        array.view().release()
    with array:
        with array.view() as view:
            view[0] = 1
    assert array[0] == 1


def test_the_hole_that_stays(name):
    """A slice of numpy's keeps its own flag: documented, and it still points to something."""
    array = shm.Array(name, "d", 4)
    with array:
        part = array.np[2:]
    part[0] = 5
    assert array[2] == 5
    del array
    gc.collect()
    part[0] = 6


def test_numpy_keeps_the_memory(name):
    array = shm.Array(name, "d", 4)
    with array:
        x = array.np
        x[:] = 3
    del array
    gc.collect()
    assert x.sum() == 12


def test_a_view_does_not_keep_the_handle_in_a_circle(name):
    array = shm.Array(name, "d", 4)
    with array:
        array.np
        array.view()
    gc.disable()
    try:
        del array
        with pytest.raises(shm.NotFound):
            shm.info(name)
    finally:
        gc.enable()


def test_who_waits_for_a_condition_comes_back_to_its_memory(name):
    array, inside = shm.Array(name, "i64", 2), threading.Event()
    condition = shm.Condition(array)
    found = []

    def work():
        with array:
            elements, view = array.np, array.view()
            inside.set()
            assert condition.wait_for(lambda: array[1] == 1, timeout=20)
            elements[0] = view[1] + 1  # although the other one's block has ended
            found.append(array[0])

    thread = threading.Thread(target=work)
    thread.start()
    assert inside.wait(20)
    with array:
        array.np[1] = 1
        condition.notify()
    thread.join()
    assert found == [2]


def test_a_block_in_a_handler_that_interrupts_a_wait_leaves_the_memory_of_the_waiting_one(name):
    array, other = shm.Array(name, "i64", 2), shm.Array.open(name)
    condition = shm.Condition(array)
    found = []

    def interrupt():
        with other:  # while it waits
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    def handler(*_):
        with array:
            array.view()[0] = 5
            array.np[1] = 6
            found.append(array.view())
        condition_of_other = shm.Condition(other)
        with other:
            condition_of_other.notify()

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        thread = threading.Thread(target=interrupt)
        with array:
            elements, view = array.np, array.view()
            thread.start()
            assert condition.wait_for(lambda: view[0] == 5, timeout=20)
            assert array.view() is view
            view[0] += 1
            elements[1] += 1
            assert array[:] == [6, 7]
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    for ended in (found[0], view):
        with pytest.raises(ValueError):
            ended[0] = 1
    assert not elements.flags.writeable


def test_a_wait_that_fails_ends_the_memory_with_its_block(name):
    array, other = shm.Array(name, "i64", 2), shm.Array.open(name)
    condition = shm.Condition(array)

    def interrupt():
        with other:  # while it waits
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)

    def handler(*_):
        raise InterruptedError

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        thread = threading.Thread(target=interrupt)
        with pytest.raises(InterruptedError), array:
            elements, view = array.np, array.view()
            thread.start()
            condition.wait(20)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert not elements.flags.writeable
    with pytest.raises(ValueError):
        view[0] = 1
    with array.read():
        assert array.view().readonly
