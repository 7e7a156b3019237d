"""Handles that are given up wherever that can be: at the exit, in a thread, within a block, by the collector."""

import gc
import threading
import weakref

import pytest

import robust_shm as shm


def test_at_the_exit(name, child):
    value = shm.Value(name, "i64", 1)
    out = child(
        "v = shm.Value.open(args[0])\nv.__enter__()\nv.value = 9\nimport atexit\natexit.register(lambda: say(v.is_held, v.value))", name
    ).ends()
    assert out == "True 9\n"
    with value.lock(timeout=30):
        assert value.value == 1


def test_at_an_exit_amid_a_block(name, child):
    value, array = shm.Value(name, "i64", 1), shm.Array(name + "a", "i64", 1)
    child("v, a = map(shm.open, args)\nwith v, a:\n    v.value = 9\n    a[0] = 9\n    sys.exit()", name, name + "a").ends()
    assert value.get() == 1 and array[0] == 9 and not array.is_poisoned


def test_amid_a_block(name):
    for make in (lambda: shm.Value(name, "i64"), lambda: shm.Array(name, "i64", 1), lambda: shm.Lock(name), lambda: shm.RwLock(name)):
        kept, handle = make(), make()
        (handle.write() if isinstance(handle, shm.RwLock) else handle).__enter__()
        del handle
        gc.collect()
        block = kept.write(timeout=30) if isinstance(kept, shm.RwLock) else kept.lock(timeout=30)
        with block:
            pass
        del kept, block
        gc.collect()


def test_what_was_assigned_amid_a_block_that_never_ends_is_not_committed(name):
    kept = shm.Value(name, "i64", 1)
    other = shm.Value(name, "i64")
    other.__enter__()
    other.value = 9
    del other
    with kept.lock(timeout=30):
        assert kept.value == 1


def test_in_a_generator(name):
    value = shm.Value(name, "i64", 1)

    def generate():
        with value:
            value.value = 2
            yield
            value.value = 3

    generator = generate()
    next(generator)
    assert value.is_held
    del generator  # its block ends with GeneratorExit
    assert not value.is_held and value.get() == 1


def test_a_generator_that_is_collected_in_another_thread(name):
    """Its block was entered by the main thread, which goes on to hold the lock, and can leave it."""
    value = shm.Value(name, "i64", 1)

    def generate():
        with value:
            yield

    generators = [generate()]
    next(generators[0])
    thread = threading.Thread(target=generators.clear)
    thread.start()
    thread.join()
    assert value.is_held
    value.__exit__(None, None, None)
    assert not value.is_held


def test_in_another_thread_while_this_one_holds(name):
    """The other thread cannot give the lock back: it stays held until this thread ends."""
    kept = shm.Value(name, "i64", 1)
    taken, dropped = threading.Event(), threading.Event()
    handles, left = [shm.Value(name, "i64")], []

    def hold():
        handles[0].__enter__()
        taken.set()
        left.append(dropped.wait(30))

    thread = threading.Thread(target=hold)
    thread.start()
    assert taken.wait(30)
    handles.clear()
    gc.collect()
    with pytest.raises(shm.TimedOut):
        kept.lock(timeout=0.02).__enter__()
    dropped.set()
    thread.join()
    assert left == [True]
    with kept.lock(timeout=30):
        kept.value = 2
    assert kept.get() == 2
    # What the thread held is not given up: the kernel may have looked at it. That is what such a program pays.
    assert kept.info().attached == 2
    shm.remove(name)


def test_a_thread_that_ends_while_it_holds(name):
    value, array = shm.Value(name, "i64", 1), shm.Array(name + "a", "i64", 1)

    def hold():
        value.__enter__()
        value.value = 9
        array.__enter__()

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    for _ in range(3):
        with value.lock(timeout=30):
            assert value.value == 1
    with pytest.raises(shm.Poisoned):
        array[0]
    with array.recover(timeout=30):
        pass
    assert array[0] == 0
    shm.remove(name)
    shm.remove(name + "a")


def test_permits_that_are_collected_in_another_thread(name):
    semaphore = shm.Semaphore(name, 2)
    permits = [semaphore.acquire()]
    thread = threading.Thread(target=permits.clear)
    thread.start()
    thread.join()
    assert semaphore.available == 1
    shm.remove(name)


def test_in_a_circle(name):
    class Node:
        pass

    node = Node()
    node.handle, node.self = shm.Value(name, "i64"), node
    gone = weakref.ref(node.handle)
    del node
    gc.collect()
    assert gone() is None
    with pytest.raises(shm.NotFound):
        shm.info(name)


def test_handles_of_one_segment_are_one_thread_to_the_lock(name):
    handles = [shm.Value(name, "i64") for _ in range(3)]
    with handles[0]:
        for other in handles[1:]:
            assert not other.is_held
            with pytest.raises(shm.WouldDeadlock):
                other.__enter__()
            with pytest.raises(shm.NotHeld):
                other.__exit__(None, None, None)
        handles[0].value = 4
    assert [handle.get() for handle in handles] == [4, 4, 4]


def test_threads_and_processes(name, child):
    """Eight threads each in eight processes, half of which are killed: each counts its own additions, too."""
    value, array = shm.Value(name, "{sum:i64,of:[i64;8]}"), shm.Array(name + "a", "i64", 2, poison=False)
    code = (
        "v, a = map(shm.open, args[:2])\ni, times = map(int, args[2:])\n"
        "def work():\n    for _ in range(times):\n"
        "        with v:\n            v.sum += 1\n            v.of = tuple(n + (k == i) for k, n in enumerate(v.of))\n"
        "        with a: a.np[0] += 1\n"
        "ts = [threading.Thread(target=work) for _ in range(8)]\n[t.start() for t in ts]\nsay('runs')\n[t.join() for t in ts]"
    )
    others = [child(code, name, name + "a", str(i), str(300 if i < 4 else 10**9)) for i in range(8)]
    for other in others:
        other.hears("runs")
    for other in others[4:]:
        other.kill()
        now = value.get()
        assert now.sum == sum(now.of)
    for other in others[:4]:
        other.ends()
    now = value.get()
    assert now.of[:4] == (2400,) * 4 and now.sum == sum(now.of) and array[0] >= 9600
    del array


def test_what_there_is_no_room_for(name):
    """A `MemoryError`, and the program goes on."""
    for make in (lambda: shm.Value(name, f"[u8;{2**62}]"), lambda: shm.Array(name, f"[u8;{2**62}]", [b""] * 5)):
        with pytest.raises(MemoryError):
            make()
    with pytest.raises(MemoryError):  # so many of nothing
        shm.Value(name, f"[[u8;0];{2**62}]").get()
    array = shm.Array(f"{name}-array", "[u8;0]", 2**62)
    for copy in (lambda: array[:], lambda: list(array)):
        with pytest.raises(MemoryError):
            copy()
    del array


def test_the_length_that_somebody_says(name):
    value = shm.Value(name, "[u8;4]")
    with pytest.raises(ValueError, match="expected 4 items"):
        value.set(range(2**62))
    with pytest.raises(OverflowError):
        shm.Value(name, "[u8;4]", allow_owner=range(2**32, 2**62))
    value.set(range(4))
    assert value.get() == b"\0\1\2\3"


def test_finalizers_that_use_what_is_being_used(name, child):
    """While an exception is made, the collector runs, and a finalizer does the same."""
    other = child(
        "import gc\npermit = shm.Semaphore(args[0], 2).acquire()\npermit.release()\n"
        "def again():\n    try: permit.release()\n    except shm.NotHeld: pass\n"
        "class Circle:\n    def __init__(self): self.me = self\n    def __del__(self): again()\n"
        "for _ in range(100):\n    gc.disable(); Circle(); gc.set_threshold(1); gc.enable()\n    again()\n    gc.set_threshold(700)\n"
        "say('fine')",
        name,
    )
    other.hears("fine")
    other.ends()
