"""Types in the words that Python programs have for them, as the text that is stored with the data."""

from __future__ import annotations

import ctypes
import struct as _struct
import sys
from typing import Any

from ._native import Record, _describe, _record

_SIGNED, _UNSIGNED = "bhilqn", "BHILQN"
_BY_PYTHON = {int: "i64", float: "f64", bool: "bool"}
_NUMPY_NUMBERS = {"f4": "f32", "f8": "f64", "b1": "bool"} | {
    f"{kind}{size}": f"{kind}{8 * size}" for kind in "iu" for size in (1, 2, 4, 8)
}
_TO_NUMPY = {primitive: code for code, primitive in _NUMPY_NUMBERS.items()} | {
    "bool": "?",
    "char": "u4",
    "u128": "V16",
    "i128": "V16",
}


class Struct:
    """A struct's type. Called with its fields, it makes a record.

    >>> point = struct("Point", x=float, y=float)
    >>> point.schema
    'Point{x:f64,y:f64}'
    >>> point(x=1, y=2)
    Point(x=1.0, y=2.0)
    """

    __slots__ = ("schema",)

    def __init__(self, schema: str) -> None:
        self.schema = schema

    def __call__(self, *values: Any, **fields: Any) -> Record:
        if values and fields:
            raise TypeError("all fields by their order, or all by their names")
        return _record(self.schema, values or fields)

    def __repr__(self) -> str:
        return f"struct({self.schema!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Struct) and other.schema == self.schema

    def __hash__(self) -> int:
        return hash(self.schema)


def struct(name: str | None = None, /, **fields: Any) -> Struct:
    """The type of a struct: fields in the order of their bytes, without gaps; `_pad="[u8;7]"` fills one."""
    if not fields:
        raise TypeError("a struct has at least one field")
    return Struct(f"{name or ''}{{{','.join(f'{field}:{schema_of(kind)}' for field, kind in fields.items())}}}")


def schema_of(kind: Any) -> str:
    """The text of a type that is given as such a text, a typecode, `int`, `float`, `bool`, of ctypes, or of numpy."""
    if isinstance(kind, str):
        return _of_typecode(kind) if len(kind) == 1 else kind
    if isinstance(kind, Struct):
        return kind.schema
    if isinstance(kind, type):
        if kind in _BY_PYTHON:
            return _BY_PYTHON[kind]
        if issubclass(kind, (ctypes._SimpleCData, ctypes.Structure, ctypes.Union, ctypes.Array)):
            return _of_ctypes(kind)
    numpy = sys.modules.get("numpy")
    if numpy is not None and (
        isinstance(kind, numpy.dtype) or isinstance(kind, type) and issubclass(kind, numpy.generic)
    ):
        return _of_numpy(numpy.dtype(kind))
    raise TypeError(
        f"{kind!r} is no type of shared data: a schema as 'f64', a typecode as 'd', int, float or bool, a ctypes type, "
        "a numpy dtype, or robust_shm.struct"
    )


def _of_typecode(code: str) -> str:
    if code in _SIGNED:
        return f"i{8 * _struct.calcsize(code)}"
    if code in _UNSIGNED:
        return f"u{8 * _struct.calcsize(code)}"
    try:
        return {"f": "f32", "d": "f64", "?": "bool", "c": "u8", "u": "char", "w": "char"}[code]
    except KeyError:
        raise TypeError(f"{code!r} is no typecode of shared data") from None


def _of_ctypes(kind: Any) -> str:
    if issubclass(kind, ctypes.Array):
        return f"[{_of_ctypes(kind._type_)};{kind._length_}]"
    if issubclass(kind, ctypes.Union):
        raise TypeError(f"{kind.__name__} is a union: nobody could tell which of its fields is there")
    if issubclass(kind, ctypes.Structure):
        return _of_structure(kind)
    code, size = kind._type_, ctypes.sizeof(kind)
    native = getattr(kind, "__ctype_le__" if sys.byteorder == "little" else "__ctype_be__", kind)
    if native is not kind:
        raise TypeError(f"{kind.__name__} has the byte order of another machine")
    if code in _SIGNED + _UNSIGNED:
        return f"{'i' if code in _SIGNED else 'u'}{8 * size}"
    if code == "u" and size != 4:
        raise TypeError(f"{kind.__name__} is no character of Unicode on this system")
    if code in "fd?cu":
        return _of_typecode(code)
    raise TypeError(f"{kind.__name__} cannot be shared: it is a pointer, an object, or of this machine alone")


def _of_structure(kind: Any) -> str:
    if hasattr(kind, "_swappedbytes_"):
        raise TypeError(f"{kind.__name__} has the byte order of another machine")
    fields = [field for base in reversed(kind.__mro__) for field in base.__dict__.get("_fields_", ())]
    at, texts = 0, []
    for name, inner, *bits in fields:
        if bits:
            raise TypeError(f"{kind.__name__}.{name} is a field of bits")
        found = getattr(kind, name).offset
        if found != at:
            raise TypeError(f"{kind.__name__} has {found - at} bytes of padding before {name}: name them, or reorder")
        at += ctypes.sizeof(inner)
        texts.append(f"{name}:{_of_ctypes(inner)}")
    if at != ctypes.sizeof(kind):
        raise TypeError(f"{kind.__name__} has {ctypes.sizeof(kind) - at} bytes of padding at its end: name them")
    return f"{kind.__name__}{{{','.join(texts)}}}"


def _of_numpy(dtype: Any) -> str:
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        text = _of_numpy(base)
        for length in reversed(shape):
            text = f"[{text};{length}]"
        return text
    if dtype.fields is not None:
        at, texts = 0, []
        for name in dtype.names:
            inner, found = dtype.fields[name][:2]
            if found != at:
                raise TypeError(f"{dtype} has {found - at} bytes of padding before {name}: name them, or pack")
            at += inner.itemsize
            texts.append(f"{name}:{_of_numpy(inner)}")
        if at != dtype.itemsize:
            raise TypeError(f"{dtype} has {dtype.itemsize - at} bytes of padding at its end: name them")
        return f"{{{','.join(texts)}}}"
    if not dtype.isnative:
        raise TypeError(f"{dtype} has the byte order of another machine")
    if dtype.kind == "S":
        return f"[u8;{dtype.itemsize}]"
    try:
        return _NUMPY_NUMBERS[f"{dtype.kind}{dtype.itemsize}"]
    except KeyError:
        raise TypeError(f"{dtype} is no type of shared data") from None


def dtype_of(schema: str) -> Any:
    """What numpy calls the type."""
    import numpy

    return numpy.dtype(_descr(_describe(schema)))


def _descr(form: tuple[Any, ...]) -> Any:
    match form:
        case ("primitive" | "enum", primitive):
            return _TO_NUMPY[primitive]
        case ("array", element, length):
            return (_descr(element), (length,))
        case ("struct", fields):
            return [(name, _descr(inner)) for name, inner in fields]
    raise TypeError(f"numpy has no {form[0]}")


def ndarray(memory: memoryview, schema: str | None, length: int) -> Any:
    """All elements in place."""
    import numpy

    dtype = numpy.dtype("u1") if schema is None else dtype_of(schema)
    shape: tuple[int, ...] = (length,) if schema is not None else (length, memory.nbytes // length if length else 0)
    if dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    # Not `frombuffer`: its result would be the base of a reshaped one, and stay writable through that.
    return numpy.ndarray(shape, dtype, memory)
