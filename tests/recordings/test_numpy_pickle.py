"""What arrays are pickled with is read back; everything else is refused, and nothing of it runs."""

import builtins
import copyreg
import io
import os
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
from errors import refused

from wim_fast.errors import UserError
from wim_fast.recordings.numpy_pickle import load_npy, load_pickle, load_pickle_file, unpack_blosc

ARRAYS = [
    np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(12, dtype=">i4").reshape(3, 4)[:, ::2],
    np.float32(3.5),
    np.array(7),
    np.zeros((0, 3)),
    np.array([True, False]),
    np.array(["a", "bcd"]),
    np.array([b"x", b"yyy", None, 3, "text", [1, 2.5]], dtype=object),
    np.array({"K": [np.eye(3), np.eye(3)], "ims": [{"ims": ["a/0.jpg"]}]}, dtype=object),
]


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (np.ndarray, np.generic)):
        if a.dtype.hasobject:
            return a.shape == b.shape and all(map(same, a.ravel().tolist(), b.ravel().tolist()))
        return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_are_read_back(protocol):
    for array in ARRAYS:
        assert same(array, load_pickle(pickle.dumps(array, protocol), "here"))
    tree = {"many": ARRAYS, "one": ARRAYS[0], "same": [ARRAYS[0], ARRAYS[0]], "pair": (1, -5, 2**70, None)}
    assert same(tree, load_pickle(pickle.dumps(tree, protocol), "here"))


def test_names_of_both_numpys():
    content = pickle.dumps(ARRAYS[1], 2)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    new = content.replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
    assert same(load_pickle(old, "here"), load_pickle(new, "here"))


def test_npy_files(tmp_path):
    for k, array in enumerate(ARRAYS):
        np.save(tmp_path / f"{k}.npy", array, allow_pickle=True)
        assert same(np.asarray(array), load_npy(tmp_path / f"{k}.npy"))


def failure(read) -> UserError | None:
    try:
        read()
    except UserError as error:
        return error
    return None


class Runs:
    """Leaves a mark when it is unpickled by Python's own unpickler."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


class HasState:
    def __init__(self, value):
        self.value = value


def payloads(mark):
    """Pickles (name, bytes) that would create the file `mark`, or worse."""
    python = f"open({str(mark)!r}, 'w').close()"
    bad = {
        "os.system": Runs(os.system, f"touch {mark}"),
        "eval": Runs(builtins.eval, python),
        "exec": Runs(builtins.exec, python),
        "subprocess": Runs(subprocess.call, ["touch", str(mark)]),
        "getattr": Runs(getattr, "x", "upper"),
        "import": Runs(builtins.__import__, "os"),
        "open": Runs(builtins.open, str(mark), "w"),
        "numpy.load": Runs(np.load, str(mark) + ".npy", None, True),
        "numpy.save": Runs(np.save, str(mark), np.zeros(3)),
        "numpy.loadtxt": Runs(np.loadtxt, str(mark)),
        "copyreg": Runs(copyreg._reconstructor, HasState, object, None),
        "instance": HasState(3),
        "set": {1, 2},
        "huge array": Runs(np.zeros, (10**9,)),
        "huge range": Runs(bytearray, 10**12),
        "ufunc": np.add,
        "type": int,
        "complex": 1j,
        "masked": np.ma.masked_array([1, 2], [True, False]),
        "structured": np.zeros(2, dtype=[("a", "f4"), ("b", "i4")]),
        "dates": np.zeros(2, "M8[s]"),
        "in object array": np.array([Runs(os.system, f"touch {mark}"), b"x"], dtype=object),
        "in 0-d object array": np.array({"cams": Runs(os.system, f"touch {mark}")}, dtype=object),
        "in dict": {"img": [1, (2, Runs(builtins.eval, python))]},
        "as key": {Runs(builtins.eval, python): 1},
    }
    found = [(f"{name}, {p}", pickle.dumps(value, p)) for name, value in bad.items() for p in (2, 4, 5)]
    by_hand = {
        "os.system, text": b"cos\nsystem\n(S'touch %s'\ntR." % os.fsencode(mark),
        "instance": b"(S'touch %s'\nios\nsystem\n." % os.fsencode(mark),
        "object": b"(cos\nsystem\nS'touch %s'\no." % os.fsencode(mark),
        "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x10os.system.__doc__\x93.",
        "name through numpy": b"\x80\x04\x8c\x05numpy\x8c\x07os.path\x93.",
        "numpy.testing": b"cnumpy.testing._private.utils\nrunstring\n(Vopen('x','w')\n}tR.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"Pos\n.",
        "buffer": b"\x80\x05\x97.",
        "newobj": b"\x80\x02cbuiltins\nobject\n)\x81.",
        "ends with a function": b"cnumpy\nndarray\n.",
        "ends with a dtype": pickle.dumps(np.dtype("f4"), 2).replace(b"b.", b"."),
        "stack empty": b".",
        "no end": b"\x80\x04]",
        "mark missing": b"\x80\x04e.",
        "mark left": b"\x80\x04(.",
        "memo missing": b"\x80\x04h\x05.",
        "list of itself is no array": b"cnumpy\nndarray\n]R.",
    }
    return [*found, *by_hand.items()]


def npy_of_objects(content: bytes) -> bytes:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": ()})
    return head.getvalue() + content


def test_payloads_are_refused_and_do_not_run(tmp_path):
    blosc = pytest.importorskip("blosc")
    mark = tmp_path / "it_ran"
    for name, content in payloads(mark):
        places = {
            "pickle": lambda content=content: load_pickle(content, "bad.pickle"),
            "blosc": lambda content=content: unpack_blosc(blosc.compress(content, 1), "bad.pickle: img[0]"),
        }
        (tmp_path / "bad.npy").write_bytes(npy_of_objects(content))
        places["npy"] = lambda: load_npy(tmp_path / "bad.npy")
        for place, read in places.items():
            error = failure(read)
            assert error is not None, f"{name} was read as {place}"
            assert "\n" not in str(error)
            assert "bad." in str(error.where)
            assert not mark.exists(), (name, place)
    refused = next(c for n, c in payloads(mark) if n == "os.system, 4")
    with pytest.raises(UserError, match=r"posix\.system|nt\.system"):
        load_pickle(refused, "x")


def array_pickle(shape: bytes, dtype: bytes, data: bytes) -> bytes:
    """An array by hand, whatever its shape (as opcodes) says."""
    made = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
    dtype = b"cnumpy\ndtype\nX" + struct.pack("<I", len(dtype)) + dtype + b"\x89\x88\x87R"
    dtype += b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    payload = b"B" + struct.pack("<I", len(data)) + data
    return made + b"(K\x01" + shape + dtype + b"\x89" + payload + b"tb."


def test_arrays_are_as_large_as_their_bytes():
    good = array_pickle(b"K\x02K\x03\x86", b"f4", bytes(24))
    assert load_pickle(good, "here").shape == (2, 3)
    for shape in (
        b"K\x02K\x04\x86",
        b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86",
        b"J\xff\xff\xff\xff\x85",
        b"]",
        b"N",
    ):
        with pytest.raises(UserError):
            load_pickle(array_pickle(shape, b"f4", bytes(24)), "here")
    with refused("here", "array"):
        load_pickle(array_pickle(b"K\x01\x85", b"V999999999", bytes(24)), "here")


LIMITED = """
import resource, sys
from wim_fast.errors import UserError
from wim_fast.recordings.numpy_pickle import load_pickle, unpack_blosc
import blosc, struct
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
bombs = [
    b"\\x80\\x04Nr\\xff\\xff\\xff\\x7f.",  # memo of 2**31 entries, None: read
    b"\\x80\\x04\\x8e" + struct.pack("<Q", 2**40) + b"abc.",
    b"\\x80\\x05\\x96" + struct.pack("<Q", 2**62) + b"abc.",
    b"\\x80\\x04\\x8d" + struct.pack("<Q", 2**63 + 5) + b"abc.",
    b"\\x80\\x02\\x8b\\xff\\xff\\xff\\x7fabc.",
    b"L" + b"9" * 100000 + b"L\\n.",
    b"\\x80\\x02]" + b"q\\x00]h\\x00h\\x00e" * 40 + b".",
    b"(" * 100000 + b"t" * 100000 + b".",
    b"(" + b"\\x85" * 10 + b".",
]
for content in bombs:
    try:
        load_pickle(content, "x")
    except UserError:
        pass
frame = bytearray(blosc.compress(bytes(1000), 1))
frame[4:8] = struct.pack("<I", 2**31)
for packed in (bytes(frame), blosc.compress(bytes(2**28 + 1), 1)):
    try:
        unpack_blosc(packed, "x")
    except UserError:
        continue
    sys.exit("a bomb was unpacked")
print("held")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory by setrlimit")
def test_bombs_do_not_fill_the_memory():
    pytest.importorskip("blosc")
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(3 << 30)], capture_output=True, text=True, check=False
    )
    assert run.stdout == "held\n", run.stderr[-2000:]


def test_damaged_files(tmp_path):
    whole = pickle.dumps({"a": ARRAYS[0], "b": ARRAYS[8]}, 4)
    rng = np.random.default_rng(0)
    file = tmp_path / "cache.pickle"
    for k in range(300):  # anything may come out of a flipped bit but an exception of another kind
        content = bytearray(whole if k % 2 else whole[: rng.integers(len(whole))])
        for _ in range(3):
            if content:
                content[rng.integers(len(content))] = rng.integers(256)
        file.write_bytes(content)
        error = failure(lambda: load_pickle_file(file))
        assert error is None or error.where == file
    for content in (b"", b"hello", b"\x93NUMPY\x01\x00"):
        file.write_bytes(content)
        for read in (load_pickle_file, load_npy):
            with pytest.raises(UserError):
                read(file)
    with pytest.raises(UserError):
        load_pickle_file(tmp_path / "none")


def test_damaged_blosc():
    blosc = pytest.importorskip("blosc")
    packed = blosc.pack_array(ARRAYS[0])
    assert same(unpack_blosc(packed, "here"), ARRAYS[0])
    for bad in (b"", b"x" * 40, packed[:-1], packed + b"x", blosc.compress(b"hello", 1)):
        with pytest.raises(UserError):
            unpack_blosc(bad, "here")
    with refused("here", "dict"):
        unpack_blosc(blosc.compress(pickle.dumps({}), 1), "here")
