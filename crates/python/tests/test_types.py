"""Types, in all the words that Python has for them."""

import ctypes
import struct

import numpy as np
import pytest

import robust_shm as shm
from robust_shm._types import dtype_of, schema_of

LONG = f"i{8 * struct.calcsize('l')}"


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("id", ctypes.c_uint32), ("name", ctypes.c_char * 4)]


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        ("f64", "f64"),
        (int, "i64"),
        (float, "f64"),
        (bool, "bool"),
        ("b", "i8"),
        ("B", "u8"),
        ("h", "i16"),
        ("H", "u16"),
        ("i", "i32"),
        ("I", "u32"),
        ("l", LONG),
        ("L", "u" + LONG[1:]),
        ("q", "i64"),
        ("Q", "u64"),
        ("f", "f32"),
        ("d", "f64"),
        ("?", "bool"),
        ("c", "u8"),
        ("u", "char"),
        (ctypes.c_int, "i32"),
        (ctypes.c_uint8, "u8"),
        (ctypes.c_long, LONG),
        (ctypes.c_size_t, "u64"),
        (ctypes.c_float, "f32"),
        (ctypes.c_double, "f64"),
        (ctypes.c_bool, "bool"),
        (ctypes.c_char, "u8"),
        (ctypes.c_wchar, "char"),
        (ctypes.c_char * 16, "[u8;16]"),
        (ctypes.c_int * 3 * 2, "[[i32;3];2]"),
        (Point, "Point{x:f64,id:u32,name:[u8;4]}"),
        (np.dtype("f8"), "f64"),
        (np.float32, "f32"),
        (np.int16, "i16"),
        (np.bool_, "bool"),
        (np.dtype("S5"), "[u8;5]"),
        (np.dtype(("i4", (2, 3))), "[[i32;3];2]"),
        (np.dtype([("a", "i8"), ("b", "?")]), "{a:i64,b:bool}"),
        (shm.struct("P", x=float, y="[u8;3]"), "P{x:f64,y:[u8;3]}"),
        (shm.struct(x=shm.struct("In", a=int)), "{x:In{a:i64}}"),
    ],
)
def test_each_is_a_schema(kind, schema):
    assert schema_of(kind) == schema


class Gap(ctypes.Structure):
    _fields_ = [("a", ctypes.c_uint8), ("b", ctypes.c_uint64)]


class Tail(ctypes.Structure):
    _fields_ = [("a", ctypes.c_uint64), ("b", ctypes.c_uint8)]


class Bits(ctypes.Structure):
    _fields_ = [("a", ctypes.c_uint32, 3)]


class Either(ctypes.Union):
    _fields_ = [("a", ctypes.c_uint32)]


class Foreign(ctypes.BigEndianStructure):
    _fields_ = [("a", ctypes.c_uint32)]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Gap, "7 bytes of padding before b"),
        (Tail, "7 bytes of padding at its end"),
        (Bits, "bits"),
        (Either, "union"),
        (Foreign, "byte order"),
        (ctypes.c_void_p, "pointer"),
        (ctypes.c_char_p, "pointer"),
        (ctypes.py_object, "pointer"),
        (ctypes.c_longdouble, "this machine alone"),
        (ctypes.c_int.__ctype_be__, "byte order"),
        (np.dtype(">f8"), "byte order"),
        (np.dtype("O"), "no type"),
        (np.dtype([("a", "u1"), ("b", "u8")], align=True), "padding before b"),
        (np.dtype("f2"), "no type"),
        (complex, "no type"),
        (str, "no type"),
        (7, "no type"),
        ("x", "typecode"),
    ],
)
def test_what_cannot_be_shared_says_why(kind, why):
    with pytest.raises(TypeError, match=why):
        schema_of(kind)


@pytest.mark.parametrize("text", ["f65", "{", "[u8]", "{a:i64,a:i64}", "(u8){A=300}", "[u8;99999999999999999999]", "ü", "\0"])
def test_a_text_that_is_no_schema_is_told(name, text):
    with pytest.raises((ValueError, TypeError)):
        shm.Value(name, text + " ")


@pytest.mark.parametrize(
    ("schema", "dtype"),
    [
        ("f64", "f8"),
        ("u8", "u1"),
        ("bool", "?"),
        ("char", "u4"),
        ("u128", "V16"),
        ("[f32;3]", ("f4", (3,))),
        ("{a:i64,b:(u8){X=1}}", [("a", "i8"), ("b", "u1")]),
    ],
)
def test_each_schema_is_one_of_numpys(schema, dtype):
    assert dtype_of(schema) == np.dtype(dtype)


def test_numbers_of_numpy_are_numbers(name):
    value = shm.Value(name, "i64", np.int32(4))
    value.set(np.uint8(200))
    assert value.add(np.int64(1)) == 201
    array = shm.Array(name + "a", "f32", np.arange(4))
    assert array[:] == [0, 1, 2, 3]
    array.set(0, np.float64(0.5))
    assert array[0] == 0.5


def test_single_precision_does_not_become_infinite(name):
    value = shm.Value(name, "f32", float("inf"))
    with pytest.raises(OverflowError):
        value.set(1e300)
    value.set(float("-inf"))
    assert value.get() == float("-inf")


def test_bytes_may_be_shorter_and_not_longer(name):
    value = shm.Value(name, "[u8;4]", b"ab")
    assert value.get() == b"ab\0\0"
    value.set(bytearray(b"x"))
    value.set([1, 2, 3, 4])
    assert value.get() == b"\1\2\3\4"
    for wrong in [b"abcde", [1, 2, 3], [1, 2, 3, 256], "abcd"]:
        with pytest.raises((ValueError, TypeError, OverflowError)):
            value.set(wrong)
    assert value.get() == b"\1\2\3\4"
