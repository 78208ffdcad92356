"""Pickles that hold numpy arrays, read without running anything they say.

A pickle is a program. Instead of Python's unpickler, which would run it, a small interpreter of our own reads the
opcodes that numpy arrays, numbers, texts, bytes, tuples, lists and dicts are written with, and rebuilds the arrays
itself from their bytes. No function is ever looked up by name, no `__reduce__` or `__setstate__` is called, and
nothing is allocated that is larger than the bytes which are there. Everything else is refused with UserError.
"""

from __future__ import annotations

import math
import mmap
import pickletools
import re
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wim_fast.errors import UserError
from wim_fast.files import check_regular

MAX_ARRAY_BYTES = 1 << 28  # of one blosc-packed array
_DTYPE = re.compile(r"\?|b1|[iu][1248]|f[248]|O8?|[US][1-9]\d{0,3}")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")  # before and since numpy 2
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_BLOSC_HEADER = struct.Struct(
    "<BBBBIII"
)  # versions of format and codec, flags, item size; raw, block, packed bytes
_REMEDY = "get the file from its authors again, and do not open it with anything else: it may be malicious"


class _Refused(Exception):
    """Why a pickle is not read."""


class _Name:
    """What stands on the stack for something looked up by name; it can only be compared."""

    def __init__(self, text: str) -> None:
        self.text = text


_RECONSTRUCT, _FROMBUFFER, _SCALAR = _Name("_reconstruct"), _Name("_frombuffer"), _Name("scalar")
_NDARRAY, _DTYPE_CLASS, _ENCODE = _Name("ndarray"), _Name("dtype"), _Name("encode")
_BYTES = _Name("bytes")
_NAMES = {
    **{(module, "_reconstruct"): _RECONSTRUCT for module in _MULTIARRAY},
    **{(module, "scalar"): _SCALAR for module in _MULTIARRAY},
    **{(module, "_frombuffer"): _FROMBUFFER for module in _NUMERIC},
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DTYPE_CLASS,
    ("_codecs", "encode"): _ENCODE,
    ("__builtin__", "bytes"): _BYTES,
}


class _Unfinished:
    """An array or dtype whose state has not come yet."""

    def __init__(self, dtype: np.dtype[Any] | None = None) -> None:
        self.dtype = dtype
        self.memo_keys: list[int] = []


_MARK = object()


def load_pickle(content: Any, where: str | Path) -> Any:
    """The arrays, numbers, texts, bytes, tuples, lists and dicts of a pickle.

    `content` is bytes or a file-like object with `read`, `readline` and `tell`. Arrays may share memory with
    it and be read-only. Raises UserError naming `where` for a pickle that holds, or does, anything else.
    """
    try:
        return _Interpreter().run(content)
    except _Refused as refused:
        raise UserError(where, f"is not read: {refused}", _REMEDY) from None
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError, UnicodeError) as error:
        problem = f"is not a pickle of numpy arrays ({' '.join(str(error).split()) or type(error).__name__})"
        raise UserError(where, problem, "copy the file again: it is damaged or of another kind") from None


def load_pickle_file(file: Path) -> Any:
    """`load_pickle` of a file, which is mapped into memory and not copied as a whole."""
    try:
        check_regular(file)
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return load_pickle(content, file)
    except (OSError, ValueError) as error:  # an empty file cannot be mapped
        raise UserError(file, f"cannot be read ({error})", "check the file") from None


def load_npy(file: Path) -> NDArray[Any]:
    """An array from an .npy file; one of objects, which numpy pickles, is read by `load_pickle`."""
    remedy = "copy the file again: it is damaged or of another kind"
    try:
        check_regular(file)
        with file.open("rb") as opened:
            version = np.lib.format.read_magic(opened)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }[version]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about headers of Python 2
                _, _, dtype = read_header(opened)
            if not dtype.hasobject:
                return np.array(np.load(file, allow_pickle=False, mmap_mode="r"))  # bounded by the file
            content = opened.read()
    except (OSError, ValueError, KeyError, EOFError, TypeError, SyntaxError) as error:
        detail = " ".join(str(error).split())
        raise UserError(file, f"cannot be read as a .npy file ({detail})", remedy) from None
    array = load_pickle(content, file)
    if not isinstance(array, np.ndarray):
        raise UserError(file, f"holds a {type(array).__name__} instead of an array", remedy)
    return array


def unpack_blosc(packed: bytes, where: str) -> NDArray[Any]:
    """The array that `blosc.pack_array` packed: a pickle inside a blosc frame.

    Raises UserError if the frame says that it unpacks to more than `MAX_ARRAY_BYTES`, before it is unpacked.
    """
    try:
        import blosc
    except ImportError:
        raise UserError(
            where,
            "is packed by blosc, which is not installed",
            'in the checkout: pip install -e ".[wim-cache]"',
        ) from None
    remedy = "copy the file again: it is damaged or of another kind"
    if len(packed) < _BLOSC_HEADER.size:
        raise UserError(where, "is not a blosc frame", remedy)
    version, _, _, _, raw, block, length = _BLOSC_HEADER.unpack_from(packed)
    if version != 2 or length != len(packed) or block > max(raw, 1):
        raise UserError(where, "is not a blosc frame", remedy)
    if raw > MAX_ARRAY_BYTES:
        raise UserError(
            where, f"would unpack to {raw / 2**20:.0f} MiB", f"{MAX_ARRAY_BYTES >> 20} is the limit"
        )
    try:
        content = blosc.decompress(packed)
    except Exception as error:  # blosc.error is not public in all versions
        raise UserError(where, f"cannot be unpacked ({error})", remedy) from None
    array = load_pickle(content, where)
    if not isinstance(array, np.ndarray):
        raise UserError(where, f"holds a {type(array).__name__} instead of an array", remedy)
    return array


class _Interpreter:
    """A method for every opcode that is known, but for those that only put a literal on the stack."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, content: Any) -> Any:
        for opcode, argument, _ in pickletools.genops(content):
            name = opcode.name
            if name in _PUSHED:
                self.stack.append(argument)
            elif name in ("PROTO", "FRAME"):
                continue
            elif name == "STOP":
                if len(self.stack) != 1:
                    raise _Refused("it does not end with one object")
                return _finished(self.stack[0])
            else:
                if name not in _KNOWN:
                    raise _Refused(f"it uses {name}, which no numpy array needs")
                getattr(self, _KNOWN[name])(argument)
        raise _Refused("it does not end")

    def _pop_mark(self) -> list[Any]:
        for i in range(len(self.stack) - 1, -1, -1):
            if self.stack[i] is _MARK:
                items = self.stack[i + 1 :]
                del self.stack[i:]
                return items
        raise _Refused("a mark is missing")

    def _mark(self, _: Any) -> None:
        self.stack.append(_MARK)

    def _none(self, _: Any) -> None:
        self.stack.append(None)

    def _newtrue(self, _: Any) -> None:
        self.stack.append(True)

    def _newfalse(self, _: Any) -> None:
        self.stack.append(False)

    def _empty_dict(self, _: Any) -> None:
        self.stack.append({})

    def _empty_list(self, _: Any) -> None:
        self.stack.append([])

    def _empty_tuple(self, _: Any) -> None:
        self.stack.append(())

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._pop_mark()))

    def _tuple1(self, _: Any) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def _tuple2(self, _: Any) -> None:
        self.stack[-2:] = [(self.stack[-2], self.stack[-1])]

    def _tuple3(self, _: Any) -> None:
        self.stack[-3:] = [(self.stack[-3], self.stack[-2], self.stack[-1])]

    def _append(self, _: Any) -> None:
        item = self.stack.pop()
        _expect(self.stack[-1], list).append(_finished(item))

    def _appends(self, _: Any) -> None:
        items = self._pop_mark()
        _expect(self.stack[-1], list).extend(_finished(item) for item in items)

    def _setitem(self, _: Any) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._set(self.stack[-1], key, value)

    def _setitems(self, _: Any) -> None:
        items = self._pop_mark()
        for key, value in zip(items[::2], items[1::2], strict=True):
            self._set(self.stack[-1], key, value)

    def _set(self, target: Any, key: Any, value: Any) -> None:
        if type(key) not in (str, int):
            raise _Refused(f"a key is a {type(key).__name__}")
        _expect(target, dict)[key] = _finished(value)

    def _memoize(self, _: Any) -> None:
        self._put(len(self.memo))

    def _put(self, key: int) -> None:
        item = self.stack[-1]
        if item is _MARK:
            raise _Refused("a mark is remembered")
        if isinstance(item, _Unfinished):
            item.memo_keys.append(key)
        self.memo[key] = item

    _binput = _long_binput = _put

    def _get(self, key: int) -> None:
        self.stack.append(self.memo[key])

    _binget = _long_binget = _get

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._push_name(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._push_name(module, name)

    def _push_name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str:
            raise _Refused("it names something by no text")
        known = _NAMES.get((module, name))
        if known is None:
            raise _Refused(f"it wants {f'{module}.{name}'[:80]!r}, which is not a numpy array")
        self.stack.append(known)

    def _reduce(self, _: Any) -> None:
        arguments, function = _expect(self.stack.pop(), tuple), self.stack.pop()
        if function is _RECONSTRUCT:
            if len(arguments) != 3 or arguments[0] is not _NDARRAY:
                raise _Refused("it builds another kind of array")
            made: Any = _Unfinished()
        elif function is _DTYPE_CLASS:
            name = _expect(arguments[0], str)
            if not _DTYPE.fullmatch(name):
                raise _Refused(f"it holds an array of {name[:40]!r}")
            made = _Unfinished(np.dtype(name))
        elif function is _FROMBUFFER:
            data, dtype, shape, order = arguments
            made = _array(shape, _dtype(dtype), order == "F", data)
        elif function is _SCALAR:
            dtype, data = arguments
            made = _array((), _dtype(dtype), False, data)[()]
        elif function is _ENCODE:
            text, codec = arguments
            if codec not in ("latin1", "latin-1"):
                raise _Refused(f"it encodes by {codec!r}")
            made = _expect(text, str).encode("latin-1")
        elif function is _BYTES and not arguments:
            made = b""
        else:
            raise _Refused("it calls something that no numpy array needs")
        self.stack.append(made)

    def _build(self, _: Any) -> None:
        state, target = _expect(self.stack.pop(), tuple), self.stack[-1]
        if not isinstance(target, _Unfinished):
            raise _Refused("it changes something that is not an array")
        if target.dtype is not None:
            byte_order, described = state[1], state[2:5]
            if byte_order not in ("<", ">", "=", "|") or any(part is not None for part in described):
                raise _Refused("it holds an array of structures")
            made: Any = target.dtype if byte_order == "|" else target.dtype.newbyteorder(byte_order)
        else:
            _, shape, dtype, fortran, data = state
            made = _array(shape, _dtype(dtype), bool(fortran), data)
        self.stack[-1] = made
        for key in target.memo_keys:
            if self.memo[key] is target:
                self.memo[key] = made


_OPCODES = (
    "MARK NONE NEWTRUE NEWFALSE EMPTY_DICT EMPTY_LIST EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 APPEND APPENDS"
    " SETITEM SETITEMS MEMOIZE PUT BINPUT LONG_BINPUT GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL REDUCE BUILD"
)
_LITERALS = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8"
    " UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINSTRING BINSTRING"
)
_KNOWN = {name: f"_{name.lower()}" for name in _OPCODES.split()}
_PUSHED = frozenset(_LITERALS.split())


def _expect(item: Any, kind: type) -> Any:
    if type(item) is not kind:
        raise _Refused(f"a {type(item).__name__} stands where a {kind.__name__} must be")
    return item


def _finished(item: Any) -> Any:
    """The item, unless it stands for something that is only good inside of arrays."""
    if item is _MARK or isinstance(item, (_Unfinished, _Name)):
        raise _Refused("it holds something that is not an array")
    return item


def _dtype(item: Any) -> np.dtype[Any]:
    if isinstance(item, _Unfinished) and item.dtype is not None:
        return item.dtype
    if not isinstance(item, np.dtype):
        raise _Refused("an array has no dtype")
    return item


def _array(shape: Any, dtype: np.dtype[Any], fortran: bool, data: Any) -> NDArray[Any]:
    """An array over its bytes, or of its objects; as many as the shape says."""
    _expect(shape, tuple)
    if len(shape) > 32 or any(type(n) is not int or n < 0 for n in shape):
        raise _Refused("an array has an impossible shape")
    count, order = math.prod(shape), "F" if fortran else "C"
    if dtype.hasobject:
        items = _expect(data, list)
        if count != len(items):
            raise _Refused(f"an array has {len(items)} objects instead of {count}")
        objects = np.empty(count, object)
        for i, item in enumerate(items):
            objects[i] = item
        return objects.reshape(shape, order=order)  # type: ignore[call-overload]
    if type(data) is str:  # as Python 2 wrote bytes
        data = data.encode("latin-1")
    if type(data) not in (bytes, bytearray):
        raise _Refused("an array has no bytes")
    if count * dtype.itemsize != len(data):
        raise _Refused(f"an array has {len(data)} bytes instead of {count * dtype.itemsize}")
    return np.frombuffer(data, dtype).reshape(shape, order=order)  # type: ignore[call-overload]
