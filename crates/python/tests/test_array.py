"""Arrays: as `multiprocessing.Array` is tested, and what that has not."""

import itertools

import numpy as np
import pytest

import robust_shm as shm


def test_as_a_list(name):
    model = [680, 626, 934, 821, 150, 233, 548, 982, 714, 831]
    array = shm.Array(name, "i", model)
    assert len(array) == len(model) and array[:] == list(array) == model
    with array:
        array[3], array[-1] = 7, 8
        model[3], model[-1] = 7, 8
        array[4:6] = model[4:6] = [-1, -2]
        array[::-3] = model[::-3] = [1, 2, 3, 4]
        array[:0] = []
    assert array[:] == model
    bounds = [None, -20, -3, 0, 1, 4, 9, 10, 30]
    for start, stop, step in itertools.product(bounds, bounds, [None, 1, 2, -1, -4]):
        assert array[start:stop:step] == model[start:stop:step]


def test_it_begins_with_zeros(name):
    assert shm.Array(name, "d", 3)[:] == [0, 0, 0]


def test_what_is_no_index_is_told(name):
    array = shm.Array(name, "i", 3)
    for wrong in [3, -4, 2**62, -(2**63)]:
        with pytest.raises(IndexError):
            array[wrong]
        with array, pytest.raises(IndexError):
            array[wrong] = 1
        with pytest.raises(IndexError):
            array.add(wrong, 1)
    for wrong in ["0", None, 1.0]:
        with pytest.raises(TypeError):
            array[wrong]
    with pytest.raises(ValueError):
        array[::0]
    with array, pytest.raises(ValueError, match="grow"):
        array[:] = [1, 2]
    with array, pytest.raises(ValueError):
        array[0:2] = [1, 2, 3]


def test_a_part_is_assigned_whole_or_not_at_all(name):
    array = shm.Array(name, "i", [1, 2, 3])
    with array, pytest.raises(TypeError):
        array[:] = [7, 8, "9"]
    assert array[:] == [1, 2, 3]


def test_assignment_outside_of_the_block_is_refused(name):
    array = shm.Array(name, "i", 3)
    with pytest.raises(shm.NotHeld, match="set.*add.*update"):
        array[0] += 1
    with pytest.raises(shm.NotHeld):
        array[:] = [1, 2, 3]
    with array.read(), pytest.raises(shm.NotHeld):
        array[0] = 1
    assert array[:] == [0, 0, 0]


def test_one_call(name):
    array = shm.Array(name, "i64", 3)
    array.set(1, 5)
    assert array.add(-2, 2) == 7 and array.update(1, lambda x: x * 2) == 14
    with pytest.raises(ZeroDivisionError):
        array.update(0, lambda x: 1 // x)
    assert array[:] == [0, 14, 0] and not array.is_held and not array.is_poisoned


def test_an_exception_does_not_poison(name):
    array = shm.Array(name, "i", 1)
    with pytest.raises(KeyError):
        with array:
            array[0] = 1
            raise KeyError
    assert array[0] == 1 and not array.is_poisoned


def test_length_and_type_are_the_segments(name):
    array = shm.Array(name, "[f32;2]", 5)
    other = shm.Array.open(name)
    assert len(other) == 5 and other.schema == "[f32;2]" and other[0] == (0.0, 0.0)
    assert len(shm.Array.open(name, "[f32;2]")) == 5
    with pytest.raises(shm.TypeMismatch):
        shm.Array.open(name, "[f32;3]")
    with pytest.raises(shm.TypeMismatch):
        shm.Array(name, "[f32;2]", 6)
    with pytest.raises(shm.TypeMismatch):
        shm.Value.open(name)
    with pytest.raises(shm.AlreadyExists):
        shm.Array.create(name, "[f32;2]", 5)
    del array


@pytest.mark.parametrize("kind", ["bool", "char", "(u8){A=0}", "{a:bool}"])
def test_elements_of_few_bits_are_refused_with_advice(name, kind):
    with pytest.raises(Exception, match="u8"):
        shm.Array(name, kind, 3)


def test_structs(name):
    array = shm.Array(name, shm.struct("P", x=float, y=int), 2)
    with array:
        array[0] = (1.5, 2)
        array[1] = dict(x=3, y=4)
        array.np["x"] += 1
    assert array[0].x == 2.5 and array[1].y == 4
    with array.read():
        assert array.np.dtype.names == ("x", "y")


def test_readers_read_at_once(name, child):
    array = shm.Array(name, "i", [1, 2])
    other = child("a = shm.open(args[0])\nwith a.read(): say(a[:])", name)
    with array.read() as inside:
        assert inside is array and array.is_held
        assert array[0] == 1
        other.hears("[1, 2]")
        with pytest.raises(shm.WouldDeadlock):
            array.read().__enter__()
    assert not array.is_held
    other.ends()


def test_who_writes_is_alone(name, holder):
    array = shm.Array(name, "i", 2)
    one = holder(name)
    with pytest.raises(shm.TimedOut):
        array.read(timeout=0.02).__enter__()
    with pytest.raises(shm.TimedOut):
        array.lock(timeout=0.02).__enter__()
    one.tell()
    one.ends()
    with array.read():
        pass


def test_numpy_in_place(name):
    array = shm.Array(name, "d", 4)
    with array:
        x = np.asarray(array)
        assert x is array.np
        x += 1.5
        assert array[2] == 1.5
    with array:
        assert array.np is x
    assert shm.Array.open(name)[:] == [1.5] * 4


def test_numpy_is_read_only_after_the_block(name):
    array = shm.Array(name, "d", 4)
    with array:
        x = array.np
        x[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        x[0] = 2
    with array:
        with pytest.raises(ValueError, match="read-only"):
            x[0] = 2  # until this block asks for it
        array.np
        x[0] = 3
    assert array[0] == 3


def test_numpy_of_a_reader_is_read_only(name):
    array = shm.Array(name, "d", [1, 2])
    with array.read():
        x = array.np
        assert x.tolist() == [1, 2]
        with pytest.raises(ValueError):
            x[0] = 1
        with pytest.raises(ValueError):
            x.setflags(write=True)
    with array:
        assert array.np is not x


def test_numpy_outside_of_a_block_is_a_copy_that_was_asked_for(name):
    array = shm.Array(name, "d", [1, 2])
    with pytest.raises(shm.NotHeld):
        np.asarray(array)
    with pytest.raises(shm.NotHeld):
        array.np
    copied = np.array(array)
    copied[0] = 9
    assert array[:] == [1, 2] and not array.is_held
    with array:
        assert np.asarray(array, dtype="i4").tolist() == [1, 2]
        assert np.array(array) is not array.np


def test_numpy_of_arrays_in_arrays(name):
    array = shm.Array(name, "[[i16;3];2]", 4)
    with array:
        assert array.np.shape == (4, 2, 3)
        array.np[1, 1, 2] = 7
    assert array[1] == ((0, 0, 0), (0, 0, 7))


@pytest.mark.parametrize("wrong", [-1, 2**64, 1.5, None, "abc", [1, "2"]])
def test_what_is_no_size_is_told(name, wrong):
    with pytest.raises((OverflowError, TypeError)):
        shm.Array(name, "d", wrong)
    with pytest.raises(shm.Error):
        shm.Array(name, "d", 2**60)


def test_an_empty_one(name):
    try:
        array = shm.Array(name, "d", 0)
    except shm.InvalidArgument:
        return
    with array:
        assert array[:] == [] and array.np.shape == (0,) and array.view().nbytes == 0


def test_without_poison_and_readers(name):
    array = shm.Array(name, "d", 2, poison=False, readers=0)
    assert array[0] == 0
    assert array.info().reader_slots in (0, None)
