"""What is opened a hundred thousand times, and given up again, leaves nothing. `ROBUST_SHM_OPENS=1000000` makes it more."""

import gc
import os
import signal

import pytest

import robust_shm as shm

OPENS = int(os.environ.get("ROBUST_SHM_OPENS", 100_000))


def resident() -> int:
    """In bytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def mappings() -> int:
    with open("/proc/self/maps") as file:
        return sum(1 for _ in file)


def repeat(work, times):
    for _ in range(times):
        work()
    gc.collect()


def value(name):
    shm.Value.open(name).add(1)


def record(name):
    it = shm.Value.open(name)
    with it:
        it.a += 1
        it.value._replace(b=True)


def array(name):
    it = shm.Array.open(name)
    with it:
        it.view()[0] = 1
        it.np[:] += 1
    with it.read():
        it.np.sum()


def semaphore(name):
    it = shm.Semaphore.open(name)
    with it:
        it.acquire(timeout=0)


def failed(name):
    with pytest.raises(shm.TypeMismatch):
        shm.Value.open(name, "u8")


KEPT = {
    value: (lambda name: shm.Value(name, "i64"), 1),
    record: (lambda name: shm.Value(name, "{a:i64,b:bool}"), 10),
    array: (lambda name: shm.Array(name, "f64", 8), 10),
    semaphore: (lambda name: shm.Semaphore(name, 4), 10),
    failed: (lambda name: shm.Value(name, "i64"), 10),
}


@pytest.mark.parametrize("work", KEPT, ids=lambda work: work.__name__)
def test_nothing_grows(name, work):
    signal.alarm(max(120, OPENS // 1000))
    make, share = KEPT[work]
    kept = make(name)
    times = OPENS // share
    repeat(lambda: work(name), times // 10)
    before = resident(), descriptors(), mappings()
    repeat(lambda: work(name), times)
    after = resident(), descriptors(), mappings()
    # The allocator may keep a little more; 16 bytes for each would be seen.
    assert after[0] - before[0] < max(1 << 20, 16 * times), f"{before} → {after}"
    assert after[1] <= before[1] and after[2] <= before[2] + 4, f"{before} → {after}"
    assert kept.info().attached == 1


def test_the_same_handle_used_again_and_again(name):
    it, block = shm.Array(name, "f64", 8), shm.Value(name + "v", "i64")

    def work():
        with it:
            it.np[0] += 1
            it.view()
        with it.read():
            it.view()
        with block.lock(timeout=1):
            block.value += 1

    repeat(work, 2_000)
    before = resident()
    repeat(work, 20_000)
    assert resident() - before < 1 << 20
