"""Structs: records outside, fields in the block."""

import copy
import ctypes
import pickle

import pytest

import robust_shm as shm

Account = shm.struct("Account", balance="i64", open=bool, _pad="[u8;7]")


def test_fields_are_attributes(name):
    value = shm.Value(name, Account, Account(balance=200, open=True))
    assert value.schema == "Account{balance:i64,open:bool,_pad:[u8;7]}"
    assert value.value.balance == value.balance == 200
    with value:
        value.balance += 5
        value.open = False
        assert value.open is False
    assert value.value == Account(balance=205, open=False)
    assert value.value["balance"] == 205


def test_records_do_not_change(name):
    value = shm.Value(name, Account, dict(balance=1, open=False))
    with pytest.raises(AttributeError, match="balance"):
        value.value.balance += 5
    with pytest.raises(shm.NotHeld):
        value.balance += 5
    with value:
        value.value = value.value._replace(balance=7)
    assert value.balance == 7


def test_what_a_struct_can_be_made_of(name):
    class Point(ctypes.Structure):
        _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_int64)]

    value = shm.Value(name, Point, Point(1.5, 2))
    assert (value.x, value.y) == (1.5, 2)
    for new in [dict(x=3, y=4), (3, 4), [3, 4], Point(3, 4), shm.struct("Point", x=float, y=int)(x=3, y=4)]:
        value.set((0, 0))
        value.set(new)
        assert (value.x, value.y) == (3.0, 4)
    for wrong in [dict(x=3), dict(x=3, y=4, z=5), (3,), (1, 2, 3), 7, shm.struct("Other", x=float, y=int)(1, 2)]:
        with pytest.raises((TypeError, ValueError, KeyError)):
            value.set(wrong)
    assert (value.x, value.y) == (3.0, 4)


def test_structs_in_structs(name):
    value = shm.Value(name, "{at:{x:i32,y:i32},tags:[[u8;2];2],mood:(u8){Bad=1,Good=2},_:[u8;3]}", dict(at=(1, 2), tags=(b"ab", b"c"), mood="Good"))
    record = value.value
    assert record.at.y == 2 and record.tags == (b"ab", b"c\0") and record.mood == "Good"
    with value:
        value.at = record.at._replace(x=9)
        value.mood = 1
    assert value.value.at.x == 9 and value.mood == "Bad"


def test_records_are_values():
    one = Account(balance=1, open=True)
    assert one == Account(balance=1, open=True) != Account(balance=2, open=True)
    assert hash(one) == hash(Account(1, True, b""))
    assert repr(one).startswith("Account(balance=1, open=True, _pad=b'")
    assert one._asdict()["balance"] == 1
    assert one._replace(balance=3).balance == 3
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one
    assert "balance" in dir(one)
    with pytest.raises(AttributeError):
        one.nothing
    with pytest.raises(KeyError):
        one["nothing"]
    with pytest.raises(KeyError):
        one._replace(nothing=1)


def test_another_struct_is_another_type(name):
    value = shm.Value(name, "Point{x:f64,y:f64}")
    assert shm.Value.open(name, "{x:f64,y:f64}").schema == value.schema
    for other in ["Complex{x:f64,y:f64}", "Point{x:f64,z:f64}", "Point{x:f64,y:f64,z:f64}"]:
        with pytest.raises(shm.TypeMismatch):
            shm.Value.open(name, other)


def test_fields_that_are_called_as_methods_are(name):
    value = shm.Value(name, "{get:i64,value:i64,__class__:i64,a:i64}", (1, 2, 3, 4))
    record = value.get()
    assert isinstance(value, shm.Value) and (record["get"], record["value"], record["__class__"], record.a) == (1, 2, 3, 4)
    with value:
        value.a = 5
        value.value = value.value._replace(get=9)
    assert value.get()["get"] == 9 and value.a == 5


def test_the_class_of_a_struct_makes_nothing_by_itself(name):
    value = shm.Value(name, Account)
    assert isinstance(value, shm.Value) and type(value) is type(shm.open(name)) and type(value).balance
    for arguments in [(), (name,), (name, Account), (None,)]:
        with pytest.raises(TypeError):
            type(value)(*arguments)
    with pytest.raises(TypeError):
        type(value).balance.__get__(7, int)
    with pytest.raises(AttributeError):
        del value.balance


def test_a_value_has_no_other_attributes(name):
    value = shm.Value(name, Account)
    with pytest.raises(AttributeError):
        value.nothing
    with value, pytest.raises(AttributeError):
        value.nothing = 1


def test_enums_by_name_and_number(name):
    value = shm.Value(name, "Light(u8){Red=0,Amber=5}", "Amber")
    assert value.get() == "Amber"
    value.set(0)
    assert value.get() == "Red"
    for wrong in ["Blue", 1, 300, -1]:
        with pytest.raises(ValueError):
            value.set(wrong)
