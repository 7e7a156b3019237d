"""A bank account that two processes use at once: wrong without the lock, right with it. `python bank.py`"""

import time
from multiprocessing import Process

from robust_shm import Event, Value, unique_name

TIMES = 100
WORK = 0.0002  # between reading the balance and writing it, in seconds: wide enough for the other one to come in between


def change(account, start, how, by):
    start.wait(timeout=10)
    for _ in range(TIMES):
        if how == "with lock":
            with account:  # from here on nobody else can change it
                balance = account.value
                time.sleep(WORK)
                account.value = balance + by
        else:
            # The mistake. `account.value += by` would be the same, and raises.
            balance = account.value
            time.sleep(WORK)
            account.set(balance + by)  # `balance` may be old by now
        time.sleep(WORK)  # both get their turns


def run(how):
    account = Value(unique_name("account"), "i", 200)
    start = Event(unique_name("start"))  # both wait for this, so that they work at the same time
    children = [Process(target=change, args=(account, start, how, by)) for by in (1, -1)]
    for child in children:
        child.start()
    start.set()
    for child in children:
        child.join()
    return account.value


if __name__ == "__main__":
    for how in ("without lock", "with lock"):
        for _ in range(3):
            print(f"{how}: {run(how)}")
