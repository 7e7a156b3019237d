"""A child process computes; the parent reads. The first example of the documentation of Python's `multiprocessing`, with our
import: `python squares.py`.
"""

from multiprocessing import Process

from robust_shm import Array, Value, unique_name


def compute(squares, total):
    with squares:  # in place, until the end of the block
        for i in range(len(squares)):
            squares[i] = (i + 5) ** 2
        total.set(sum(squares))


if __name__ == "__main__":
    # Segments have names, so that any program can open them. Here nobody else needs to know them.
    squares = Array(unique_name("squares"), "i", 4)
    total = Value(unique_name("total"), "i", 0)
    child = Process(target=compute, args=(squares, total))
    child.start()
    child.join()
    print(squares[:])
    print(total.value)
