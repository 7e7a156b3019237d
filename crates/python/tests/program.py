"""A random program: `program.py SEED NAME STEPS`. It does to its handles whatever Python code can do to them.

Nothing that it does may crash the interpreter, or hurt who shares the segments. It checks what it can: in the value both
fields are the same number, whenever it looks; the errors are those that are documented.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import gc
import os
import pickle
import random
import signal
import sys
import threading
import time
import traceback

import numpy  # noqa: F401  (an import that is interrupted fails from then on)

import robust_shm as shm

EXPECTED = (
    shm.LockError,
    shm.Error,
    BufferError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    OverflowError,
    AttributeError,
    ZeroDivisionError,
    KeyboardInterrupt,
)


class Program:
    def __init__(self, seed: int, name: str) -> None:
        self.dice = random.Random(seed)
        self.name = name
        self.kept: list[object] = []  # whatever was got: views, arrays of numpy, permits, handles, generators
        self.handles = self.open()

    def open(self) -> list[object]:
        lock = shm.Lock(self.name + "l", poison=False)
        array = shm.Array(self.name + "a", "i64", 8, poison=False)
        return [
            shm.Value(self.name + "v", "{a:i64,b:i64}"),
            array,
            lock,
            shm.RwLock(self.name + "r", poison=False),
            shm.Semaphore(self.name + "s", 3),
            shm.Event(self.name + "e"),
            shm.Condition(lock),
            shm.Condition(array, 1),
        ]

    def keep(self, it: object) -> None:
        self.kept.append(it)
        if len(self.kept) > 20:
            del self.kept[self.dice.randrange(len(self.kept))]

    def section(self, handle: object) -> object:
        """A context manager. Others may wait for what this program has, and it for theirs: so none is for ever."""
        how = self.dice.choice(["lock", "read", "write", "recover", "acquire", "itself"])
        if how == "itself" and threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            return handle
        if how == "itself":
            how = "lock"
        return getattr(handle, how)(timeout=self.dice.choice([0, 0.001, 0.02]))

    def step(self, depth: int = 0) -> None:
        handle = self.dice.choice(self.handles)
        action = self.dice.choice(ACTIONS)
        action(self, handle, depth)

    # ------------------------------------------------------------------------------------------------------- actions

    def inside(self, handle: object, depth: int) -> None:
        if depth < 3:
            with self.section(handle):  # type: ignore[attr-defined]
                for _ in range(self.dice.randrange(3)):
                    self.look(handle, depth)
                    self.change(handle, depth)
                    self.safe_step(depth + 1)

    def enter_only(self, handle: object, depth: int) -> None:
        self.keep(section := self.section(handle))
        section.__enter__()  # type: ignore[attr-defined]
        if self.dice.random() < 0.8:
            section.__exit__(None, None, None)  # type: ignore[attr-defined]

    def exit_only(self, handle: object, depth: int) -> None:
        self.section(handle).__exit__(None, None, None)  # type: ignore[attr-defined]

    def look(self, handle: object, depth: int) -> None:
        if isinstance(handle, shm.Value):
            now = handle.get()
            assert now.a == now.b, f"torn: {now}"
            repr(handle.value), handle.commits, handle.info()
        elif isinstance(handle, shm.Array):
            if handle.is_held:
                self.keep(handle.view())
                self.keep(handle.np)
                self.keep(handle.np[2:])
                self.keep(handle.view()[1:])
            self.keep(handle[self.dice.randrange(-9, 9)])
        else:
            repr(handle)

    def change(self, handle: object, depth: int) -> None:
        if isinstance(handle, shm.Value):
            n = self.dice.randrange(1000)
            how = self.dice.randrange(3)
            if how == 0:
                handle.set((n, n))
            elif how == 1:
                handle.update(lambda old: (self.safe_step(depth + 1), old._replace(a=n, b=n))[1])
            else:
                handle.value = (n, n)
        elif isinstance(handle, shm.Array):
            at = self.dice.randrange(-9, 9)
            self.dice.choice(
                [
                    lambda: handle.set(at, 1),
                    lambda: handle.add(at, 1),
                    lambda: handle.__setitem__(slice(1, 3), [4, 5]),
                    lambda: handle.__setitem__(at, Evil(self, depth)),
                    lambda: handle.update(at, lambda x: (self.safe_step(depth + 1), x)[1]),
                ]
            )()
        elif isinstance(handle, shm.Event):
            self.dice.choice([handle.set, handle.clear, lambda: handle.wait(0.001)])()
        elif isinstance(handle, shm.Semaphore):
            self.keep(handle.acquire(timeout=0.001))
        elif isinstance(handle, shm.Condition):
            self.dice.choice([handle.notify, handle.notify_all, lambda: handle.wait(0.001)])()

    def write_to_kept(self, handle: object, depth: int) -> None:
        if self.kept:
            it = self.dice.choice(self.kept)
            it[self.dice.randrange(3)] = self.dice.choice([1, b"x", "y"])  # type: ignore[index]

    def read_kept(self, handle: object, depth: int) -> None:
        if self.kept:
            it = self.dice.choice(self.kept)
            bytes(it) if isinstance(it, memoryview) else repr(it)

    def forget(self, handle: object, depth: int) -> None:
        self.dice.choice([self.kept.clear, gc.collect, lambda: self.kept and self.kept.pop()])()

    def reopen(self, handle: object, depth: int) -> None:
        self.keep(self.handles)
        self.handles = self.open()

    def again(self, handle: object, depth: int) -> None:
        self.keep(self.dice.choice([copy.copy, lambda x: pickle.loads(pickle.dumps(x)), lambda x: shm.open(x.name)])(handle))

    def in_thread(self, handle: object, depth: int) -> None:
        if depth < 2:
            given = [handle, self.kept.pop() if self.kept else None]

            def work() -> None:
                self.safe_step(depth + 1)
                given.clear()  # perhaps the last to have it

            thread = threading.Thread(target=work, daemon=self.dice.random() < 0.3)
            del handle
            thread.start()
            if not thread.daemon:
                thread.join()

    def in_generator(self, handle: object, depth: int) -> None:
        def generate():
            with self.section(handle):
                yield self.look(handle, depth)

        generator = generate()
        with contextlib.suppress(StopIteration):
            next(generator)
        if self.dice.random() < 0.7:
            self.keep(generator)
        elif self.dice.random() < 0.5:
            generator.close()

    def interrupted(self, handle: object, depth: int) -> None:
        signal.setitimer(signal.ITIMER_REAL, self.dice.random() * 0.002 + 1e-6)
        try:
            for _ in range(3):
                self.step(2)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def in_fork(self, handle: object, depth: int) -> None:
        if depth > 0 and self.dice.random() < 0.7:
            return
        seed = self.dice.randrange(2**32)
        if (pid := os.fork()) == 0:
            code = 0
            try:
                self.dice.seed(seed)
                for _ in range(5):
                    self.safe_step(2)
            except KeyboardInterrupt:
                pass
            except BaseException:
                code = 1
                traceback.print_exc()
            finally:
                os._exit(code)
        if code := reap(pid):
            # Not raised: in a thread nobody would hear of it.
            print(f"a child ended with {code}", file=sys.stderr, flush=True)
            os._exit(4)

    def raises(self, handle: object, depth: int) -> None:
        with self.section(handle):  # type: ignore[attr-defined]
            self.look(handle, depth)
            raise ZeroDivisionError

    def safe_step(self, depth: int) -> None:
        with contextlib.suppress(*EXPECTED):
            self.step(depth)


def reap(pid: int) -> int:
    """How a child ended. It may wait for what this very thread holds, and goes on when it is interrupted: it says where it is,
    and fails, if that does not help."""
    begin, interrupts = time.monotonic(), 0
    try:
        while (ended := os.waitpid(pid, os.WNOHANG)) == (0, 0):
            late = time.monotonic() - begin - 1
            if late > 20:
                os.kill(pid, signal.SIGABRT)  # for faulthandler
                ended = os.waitpid(pid, 0)
                break
            if late > interrupts / 10:
                os.kill(pid, signal.SIGALRM)
                interrupts += 1
            time.sleep(0.001)
    except BaseException:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(ended[1])


class Evil:
    """A number that does something else while it is being stored."""

    def __init__(self, program: Program, depth: int) -> None:
        self.program, self.depth = program, depth

    def __index__(self) -> int:
        self.program.safe_step(self.depth + 1)
        return 7


ACTIONS = (
    [Program.inside] * 6
    + [Program.change] * 4
    + [Program.look] * 2
    + [
        Program.enter_only,
        Program.exit_only,
        Program.write_to_kept,
        Program.read_kept,
        Program.forget,
        Program.reopen,
        Program.again,
        Program.in_thread,
        Program.in_generator,
        Program.interrupted,
        Program.in_fork,
        Program.raises,
    ]
)


def release_all(program: Program) -> None:
    """What was entered and not left is left: threads that ended amid a block are the kernel's to clean up after."""
    for handle in program.handles:
        for how in ("release", "__exit__"):
            with contextlib.suppress(*EXPECTED):
                getattr(handle, how)(*([None] * 3 if how == "__exit__" else []))


def main() -> None:
    seed, name, steps = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    faulthandler.enable()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = lambda _: None  # generators that are collected elsewhere say so
    threading.excepthook = lambda args: None
    program = Program(seed, name)
    print("runs", flush=True)
    for at in range(steps):
        # Who waits for what this very program has left entered would wait for ever.
        watchdog = threading.Timer(40, lambda at=at: (faulthandler.dump_traceback(), os._exit(3)))
        watchdog.daemon = True
        watchdog.start()
        with contextlib.suppress(KeyboardInterrupt):
            program.safe_step(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        with contextlib.suppress(KeyboardInterrupt):
            release_all(program)
        watchdog.cancel()
    # A thread that the end of the interpreter finds in a callback is ended there: see the README's limits.
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join(10)
    print("ends", flush=True)


if __name__ == "__main__":
    main()
