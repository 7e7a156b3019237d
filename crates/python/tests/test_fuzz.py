"""Random programs, some of them killed: none crashes, and none hurts another. `ROBUST_SHM_FUZZ=N` runs N of them."""

import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import robust_shm as shm

PROGRAM = pathlib.Path(__file__).with_name("program.py")
COUNT = int(os.environ.get("ROBUST_SHM_FUZZ", 12))
SEED = int(os.environ.get("ROBUST_SHM_FUZZ_SEED", 1))
STEPS = 60


def test_nothing_that_a_program_does_crashes_it_or_hurts_another(name):
    signal.alarm(COUNT * 60)
    dice = random.Random(SEED)
    witness = shm.Value(name + "v", "{a:i64,b:i64}")
    locks = [witness, shm.Lock(name + "l", poison=False), shm.Array(name + "a", "i64", 8, poison=False)]
    writer = shm.RwLock(name + "r", poison=False)
    for first in range(0, COUNT, 3):
        seeds = [SEED * 100_000 + first + i for i in range(3)]
        programs = [
            subprocess.Popen(
                [sys.executable, PROGRAM, str(seed), name, str(STEPS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for seed in seeds
        ]
        if dice.random() < 0.5:
            assert programs[0].stdout is not None
            programs[0].stdout.readline()
            time.sleep(dice.random() * 0.5)
            programs[0].kill()
        for seed, program in zip(seeds, programs, strict=True):
            out, err = program.communicate(timeout=120)
            killed = program is programs[0] and program.returncode == -signal.SIGKILL
            assert killed or program.returncode == 0, f"seed {seed}: {program.returncode}\n{out[-2000:]}\n{err[-6000:]}"
            assert "panicked" not in err, f"seed {seed}\n{err[-6000:]}"
        for lock in locks:
            with lock.lock(timeout=30):
                pass
        with writer.write(timeout=30):
            pass
        now = witness.get()
        assert now.a == now.b
        with shm.Semaphore(name + "s", 3).acquire(timeout=30):
            pass
