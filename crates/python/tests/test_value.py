"""Values: as `multiprocessing.Value` is tested, and what that has not."""

import threading

import pytest
from conftest import until

import robust_shm as shm

KINDS = [
    ("i", 4343, 24234),
    ("d", 3.625, -4.25),
    ("h", -232, 234),
    ("q", 2**33, -(2**62)),
    ("B", 0, 255),
    ("?", False, True),
    ("u", "a", "ß"),
    ("u128", 2**100, 1),
    ("i128", -(2**100), -1),
    ("f32", 0.5, -0.25),
    ("[u8;4]", b"abcd", b"\0\1\2\3"),
    ("[i16;3]", (1, 2, 3), (-1, 0, 1)),
    ("Light(u8){Red=0,Amber=5,Green=6}", "Red", "Green"),
]


@pytest.mark.parametrize(("kind", "first", "second"), KINDS)
def test_what_is_written_is_read(name, kind, first, second):
    value = shm.Value(name, kind, first)
    assert value.value == first
    with value:
        value.value = second
        assert value.value == second
        assert value.get() == first  # not committed yet
    assert value.value == value.get() == second
    value.set(first)
    assert shm.Value.open(name).get() == first


def test_it_begins_with_zeros(name):
    assert shm.Value(name, "i64").get() == 0


def test_zeros_that_are_no_value_are_refused(name):
    with pytest.raises(shm.InvalidValue, match="initial"):
        shm.Value(name, "(u8){One=1}")


def test_the_first_one_decides_what_it_begins_with(name):
    first = shm.Value(name, "i64", 1)
    second = shm.Value(name, "i64", 2)
    assert (first.was_created, second.was_created) == (True, False)
    assert second.get() == 1


def test_create_and_open_say_what_is_there(name):
    with pytest.raises(shm.NotFound) as missing:
        shm.Value.open(name)
    assert missing.value.name == name
    value = shm.Value.create(name, "i64", 3)
    with pytest.raises(shm.AlreadyExists):
        shm.Value.create(name, "i64", 3)
    assert shm.Value.open(name, "i64").get() == value.get() == 3
    assert value.schema == "i64"


def test_another_type_is_refused(name):
    value = shm.Value(name, "i64", 1)
    with pytest.raises(shm.TypeMismatch) as error:
        shm.Value.open(name, "u64")
    assert "u64" in error.value.expected and "i64" in error.value.found
    assert isinstance(error.value, TypeError) and isinstance(error.value, OSError)
    assert value.get() == 1


def test_assignment_outside_of_the_block_is_refused(name):
    value = shm.Value(name, "i64", 1)
    with pytest.raises(shm.NotHeld, match="set.*add.*update"):
        value.value += 1
    with pytest.raises(shm.NotHeld):
        value.value = 5
    assert value.get() == 1


def test_an_exception_discards(name):
    value = shm.Value(name, "i64", 1)
    with pytest.raises(ZeroDivisionError):
        with value:
            value.value = 5
            1 / 0
    assert value.get() == 1 and not value.is_held


def test_a_block_that_only_looks_commits_nothing(name):
    value = shm.Value(name, "i64", 1)
    before = value.commits
    with value:
        assert value.value == 1
    assert value.commits == before
    with value:
        value.value = 1
    assert value.commits == before + 1


def test_what_does_not_fit_changes_nothing(name):
    value = shm.Value(name, "i32", 7)
    for wrong, error in [(2**31, OverflowError), (1.5, TypeError), ("7", TypeError), (None, TypeError)]:
        with pytest.raises(error):
            with value:
                value.value = 8
                value.value = wrong
        with pytest.raises(error):
            value.set(wrong)
    assert value.get() == 7


def test_add_and_update(name):
    value = shm.Value(name, "i64", 1)
    assert value.add(2) == 3
    assert value.update(lambda x: x * 10) == 30
    with pytest.raises(KeyError):
        value.update(lambda x: {}[x])
    with pytest.raises(OverflowError):
        value.add(2**63 - 1)
    with pytest.raises(TypeError):
        value.add("1")
    assert value.get() == 30 and not value.is_held


@pytest.mark.parametrize(("kind", "first", "by", "sum_"), [("f64", 0.5, 1, 1.5), ("u8", 250, 5, 255), ("f32", 1, 0.5, 1.5), ("i128", 1, -2, -1)])
def test_all_numbers_can_be_added_to(name, kind, first, by, sum_):
    value = shm.Value(name, kind, first)
    assert value.add(by) == sum_ == value.get()


def test_an_addition_that_does_not_fit_changes_nothing(name):
    value = shm.Value(name, "u8", 250)
    with pytest.raises(OverflowError):
        value.add(6)
    assert value.get() == 250


def test_what_is_read_within_an_update_is_of_the_block(name):
    value = shm.Value(name, "i64", 1)
    seen = []

    def change(old):
        seen.append((value.is_held, value.value))
        value.value = 7
        return value.value + old

    assert value.update(change) == 8
    assert seen == [(True, 1)]


def test_entering_twice_is_a_deadlock_that_is_told(name):
    value = shm.Value(name, "i64", 1)
    with value:
        for enter in (lambda: value.add(1), lambda: value.__enter__(), lambda: value.lock(timeout=0).__enter__()):
            with pytest.raises(shm.WouldDeadlock):
                enter()
        value.value = 2
    with value:
        other = shm.Value.open(name)
        with pytest.raises(shm.WouldDeadlock):
            other.add(1)
    assert value.get() == 2


def test_what_is_no_call_of_a_block_is_refused(name):
    """These methods are made by hand: they look at what they are called with and on, as others do."""
    value, lock = shm.Value(name, "i64", 1), shm.Lock(name + "-lock")
    nothing = (None, None, None)
    for arguments in ((), (None,), (None, None), (*nothing, None)):
        with value, pytest.raises(TypeError, match="argument"):
            value.__exit__(*arguments)
    for wrong in (
        lambda: value.__exit__(*nothing, key=1),
        lambda: value.__enter__(None),
        lambda: shm.Value.__enter__(lock),
        lambda: shm.Value.__exit__(lock, *nothing),
        lambda: shm.Value.__enter__(),
        lambda: shm.Value.value.__get__(lock),
        lambda: shm.Value.value.__set__(lock, 1),
    ):
        with pytest.raises(TypeError):
            wrong()
    assert not value.is_held
    with pytest.raises(shm.NotHeld, match="lost"):
        value.__exit__(*nothing)
    with pytest.raises(AttributeError):
        del value.value
    assert value.__enter__() is value and value.__exit__(*nothing) is None


class Number(int):
    def __index__(self):
        raise AssertionError("an int is asked for nothing")


class Index:
    def __init__(self, block):
        self.block = block

    def __index__(self):
        self.block.value = 8  # comes back amid the assignment
        return self.block.value + 1


def test_what_is_like_a_number_is_one(name):
    value, floating = shm.Value(name, "i64", 1), shm.Value(name + "-f", "f64", 0.5)
    with value, floating:
        for new, found in ((True, 1), (Number(5), 5), (Index(value), 9), (-(2**63), -(2**63))):
            value.value = new
            assert value.value == found and type(value.value) is int
        for new in (2**63, "1", 1.5, None):
            with pytest.raises((OverflowError, TypeError)):
                value.value = new
        floating.value = 3
        assert floating.value == 3.0 and type(floating.value) is float
    assert (value.get(), floating.get()) == (-(2**63), 3.0)
    for new in (2**63, "1", 1):
        with pytest.raises(shm.NotHeld):
            value.value = new


def test_another_thread_does_not_hold(name):
    value = shm.Value(name, "i64", 1)
    seen = []

    def other():
        seen.append((value.is_held, value.value))
        with pytest.raises(shm.NotHeld):
            value.value = 8
        with pytest.raises(shm.TimedOut):
            value.lock(timeout=0.01).__enter__()
        with pytest.raises(shm.WouldBlock):
            value.lock(timeout=0).__enter__()

    with value:
        value.value = 7
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert seen == [(False, 1)] and value.get() == 7


def test_a_timeout_is_one_of_pythons(name, holder):
    value = shm.Value(name, "i64", 1)
    holder(name)
    with pytest.raises(TimeoutError):
        with value.lock(timeout=0.02):
            pass
    with pytest.raises(ValueError):
        value.lock(timeout=float("nan"))


def test_reading_does_not_wait(name, holder):
    value = shm.Value(name, "i64", 1)
    holder(name)
    assert value.get() == value.value == 1


def test_waiting_for_newer(name, child):
    value = shm.Value(name, "i64", 0)
    other = child("v = shm.open(args[0])\nsay(v.wait_newer())\nsay(v.wait_while(lambda x: x < 5))", name)
    until(lambda: value.info().has_sleepers)
    value.set(1)
    other.hears("1")
    for i in range(2, 6):
        value.set(i)
    other.hears("5")
    other.ends()
    value.add(1)
    assert value.wait_newer() == 6
    with pytest.raises(shm.TimedOut):
        value.wait_newer(timeout=0.01)
    with pytest.raises(shm.TimedOut):
        value.wait_while(lambda x: True, timeout=0.01)


def test_changes_are_the_latest_and_end(name):
    value = shm.Value(name, "i64", 0)
    changes = value.changes(timeout=0.01)
    value.set(1)
    value.set(2)
    assert next(changes) == 2
    value.set(3)
    assert list(changes) == [3]


def test_what_waits_for_a_change_sees_it_from_another_thread(name):
    value = shm.Value(name, "i64", 0)
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(new for new in value.changes(timeout=0.5)))
    thread.start()
    until(lambda: value.info().has_sleepers)
    value.set(9)
    thread.join()
    assert seen == [9]


def test_it_is_shared_by_all_handles_and_lives_as_long_as_one(name):
    first = shm.Value(name, "i64", 1)
    second = shm.Value(name, "i64", 0)
    first.add(1)
    del first
    assert second.get() == 2 and second.info().attached == 1
    del second
    with pytest.raises(shm.NotFound):
        shm.Value.open(name)


def test_a_persistent_one_stays(name):
    del_me = shm.Value(name, "i64", 5, persistent=True)
    assert del_me.info().is_persistent
    del del_me
    assert shm.Value.open(name).get() == 5
    shm.remove(name)


def test_removed_it_goes_on_for_who_has_it(name):
    value = shm.Value(name, "i64", 1)
    shm.remove(name)
    assert value.is_removed and value.add(1) == 2


def test_unknown_options_are_errors(name):
    with pytest.raises(TypeError, match="persist"):
        shm.Value(name, "i64", 0, persist=True)
    with pytest.raises(TypeError, match="poison"):
        shm.Value(name, "i64", 0, poison=True)
    with pytest.raises(ValueError, match="lock_kind"):
        shm.Value(name, "i64", 0, lock_kind="mutex")


@pytest.mark.parametrize("kind", ["futex", "file", "os_mutex"])
def test_all_lock_kinds(name, kind):
    value = shm.Value(name, "i64", 0, lock_kind=kind, mode=0o640)
    with value:
        value.value += 1
    assert value.get() == 1 and value.info().lock_kind == kind and value.info().mode == 0o640


def test_an_observer_looks_and_cannot_write(name):
    value = shm.Value(name, "{a:i64,b:bool}", dict(a=1, b=True))
    observer = shm.observe(name)
    assert isinstance(observer, shm.ValueObserver)
    assert observer.value.a == 1 and observer.get().b is True and observer.schema == value.schema
    before = observer.commits
    with value:
        value.a = 4
    assert observer.value.a == 4 and observer.commits == before + 1
    with pytest.raises(AttributeError):
        observer.value = 1
    assert value.info().attached == 1


def test_names_are_checked():
    for wrong in ["", "a/b", "."]:
        with pytest.raises(shm.InvalidName):
            shm.Value(wrong, "i64")
