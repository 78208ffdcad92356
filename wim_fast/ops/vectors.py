"""Vectors of float32 for numba's kernels: what the compiler makes of loops is a guess, these it has to keep.

A vector lives in registers, however many of those the processor needs for it. Arrays are contiguous, and indices are not
checked: callers see to it that what they name is there. Sums are in the same order on every machine; only whether a
product is rounded before something is added to it hangs on the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
_FLOAT, _INDEX, _PLACE = ir.FloatType(), ir.IntType(32), ir.IntType(64)


class _VectorType(types.Type):
    def __init__(self, lanes: int) -> None:
        super().__init__(f"vector of {lanes} float32")
        self.lanes = lanes


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: _VectorType) -> None:
        super().__init__(dmm, fe_type, _register(fe_type.lanes))


def _register(lanes: int) -> ir.VectorType:
    return ir.VectorType(_FLOAT, lanes)


def _address(context: Any, builder: ir.IRBuilder, kind: Any, array: Any, index: Any) -> Any:
    """Of a number of an array that is taken as flat."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _load(builder: ir.IRBuilder, address: Any, lanes: int) -> Any:
    return builder.load(builder.bitcast(address, _register(lanes).as_pointer()), align=4)


def _store(builder: ir.IRBuilder, v: Any, address: Any) -> None:
    builder.store(v, builder.bitcast(address, v.type.as_pointer()), align=4)


def _picked(builder: ir.IRBuilder, v: Any, lanes: Sequence[int], other: Any = None) -> Any:
    """Some lanes of a vector; those of the `other` are counted on."""
    which = ir.Constant(ir.VectorType(_INDEX, len(lanes)), list(lanes))
    return builder.shuffle_vector(v, ir.Constant(v.type, ir.Undefined) if other is None else other, which)


def _halves(builder: ir.IRBuilder, v: Any) -> tuple[Any, Any]:
    half = v.type.count // 2
    return _picked(builder, v, range(half)), _picked(builder, v, range(half, 2 * half))


def _every(builder: ir.IRBuilder, x: Any, lanes: int) -> Any:
    """A vector of the same number."""
    undefined = ir.Constant(ir.VectorType(x.type, lanes), ir.Undefined)
    return _picked(builder, builder.insert_element(undefined, x, ir.Constant(_INDEX, 0)), [0] * lanes)


def _plus_product(builder: ir.IRBuilder, a: Any, v: Any, w: Any) -> Any:
    kind = ir.FunctionType(a.type, [a.type] * 3)
    name = f"llvm.fmuladd.v{a.type.count}f32"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [v, w, a])


def _sum(builder: ir.IRBuilder, v: Any) -> Any:
    """Of the lanes, halves added to halves."""
    while v.type.count > 1:
        v = builder.fadd(*_halves(builder, v))
    return builder.extract_element(v, ir.Constant(_INDEX, 0))


@intrinsic  # type: ignore[misc]
def number(typing_context, array, index):
    """The float32 at `index` of a flat array."""

    def generate(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature.args[0], *arguments))

    return types.float32(array, types.int64), generate


@intrinsic  # type: ignore[misc]
def put_number(typing_context, array, index, x):
    """Write a float32 at `index` of a flat array."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _address(context, builder, signature.args[0], *arguments[:2]))
        return context.get_dummy_value()

    return types.none(array, types.int64, types.float32), generate


@intrinsic  # type: ignore[misc]
def vector(typing_context, array, index):
    """The `LANES` numbers from `index` of a flat array on."""

    def generate(context, builder, signature, arguments):
        return _load(builder, _address(context, builder, signature.args[0], *arguments), LANES)

    return _VectorType(LANES)(array, types.int64), generate


@intrinsic  # type: ignore[misc]
def pair(typing_context, x, y):
    """The vector of two numbers."""

    def generate(context, builder, signature, arguments):
        v = ir.Constant(_register(2), ir.Undefined)
        for lane, x in enumerate(arguments):
            v = builder.insert_element(v, x, ir.Constant(_INDEX, lane))
        return v

    return _VectorType(2)(types.float32, types.float32), generate


@intrinsic  # type: ignore[misc]
def put(typing_context, array, index, v):
    """Write a vector from `index` of a flat array on."""

    def generate(context, builder, signature, arguments):
        _store(builder, arguments[2], _address(context, builder, signature.args[0], *arguments[:2]))
        return context.get_dummy_value()

    return types.none(array, types.int64, v), generate


@intrinsic  # type: ignore[misc]
def zeros(typing_context):
    """A vector of `LANES` zeros."""
    zero = ir.Constant(_register(LANES), [0.0] * LANES)
    return _VectorType(LANES)(), lambda context, builder, signature, arguments: zero


@intrinsic  # type: ignore[misc]
def plus_product(typing_context, a, v, w):
    """a + v * w."""
    return a(a, v, w), lambda context, builder, signature, arguments: _plus_product(builder, *arguments)


@intrinsic  # type: ignore[misc]
def plus_scaled(typing_context, a, x, v):
    """a + x * v; `x` is a number."""

    def generate(context, builder, signature, arguments):
        a, x, v = arguments
        return _plus_product(builder, a, _every(builder, x, a.type.count), v)

    return a(a, types.float32, v), generate


@intrinsic  # type: ignore[misc]
def scaled(typing_context, x, v):
    """x * v; `x` is a number."""

    def generate(context, builder, signature, arguments):
        x, v = arguments
        return builder.fmul(_every(builder, x, v.type.count), v)

    return v(types.float32, v), generate


@intrinsic  # type: ignore[misc]
def where_positive(typing_context, condition, v):
    """`v`, but 0 where `condition` is 0 or less; where it is no number, `v` too."""

    def generate(context, builder, signature, arguments):
        condition, v = arguments
        zero = ir.Constant(v.type, [0.0] * v.type.count)
        return builder.select(builder.fcmp_ordered("<=", condition, zero), zero, v)

    return v(condition, v), generate


@intrinsic  # type: ignore[misc]
def total(typing_context, v):
    """The sum of the lanes."""
    return types.float32(v), lambda context, builder, signature, arguments: _sum(builder, arguments[0])


@intrinsic  # type: ignore[misc]
def dot(typing_context, v, w):
    """The sum of v * w over the lanes."""

    def generate(context, builder, signature, arguments):
        return _sum(builder, builder.fmul(*arguments))

    return types.float32(v, w), generate


@intrinsic  # type: ignore[misc]
def slope(typing_context, v):
    """The second half of a vector less its first half."""

    def generate(context, builder, signature, arguments):
        first, second = _halves(builder, arguments[0])
        return builder.fsub(second, first)

    return _VectorType(v.lanes // 2)(v), generate


@intrinsic  # type: ignore[misc]
def between(typing_context, v, x):
    """The first half of a vector at x = 0, its second half at 1, and in between what is between them."""

    def generate(context, builder, signature, arguments):
        first, second = _halves(builder, arguments[0])
        x = _every(builder, arguments[1], first.type.count)
        return _plus_product(builder, first, x, builder.fsub(second, first))

    return _VectorType(v.lanes // 2)(v, types.float32), generate


@intrinsic  # type: ignore[misc]
def spread(typing_context, v, x):
    """What `between` takes its share of, the other way round: the first half is (1 - x) v, the second x v."""

    def generate(context, builder, signature, arguments):
        v, x = arguments
        second = builder.fmul(_every(builder, x, v.type.count), v)
        return _picked(builder, builder.fsub(v, second), range(2 * v.type.count), second)

    return _VectorType(2 * v.lanes)(v, types.float32), generate


@intrinsic  # type: ignore[misc]
def gathered(typing_context, table, rows):
    """Eight rows of a table (E, 2), one after another; `rows`: a tuple of uint32."""

    def generate(context, builder, signature, arguments):
        two_floats = ir.DoubleType()
        v = ir.Constant(ir.VectorType(two_floats, 8), ir.Undefined)
        for lane, address in enumerate(_rows(context, builder, signature, *arguments)):
            row = builder.load(builder.bitcast(address, two_floats.as_pointer()), align=4)
            v = builder.insert_element(v, row, ir.Constant(_INDEX, lane))
        return builder.bitcast(v, _register(16))

    return _VectorType(16)(table, rows), generate


@intrinsic  # type: ignore[misc]
def scatter_added(typing_context, table, rows, v):
    """Add to eight rows of a table (E, 2), one after another, also where some are the same."""

    def generate(context, builder, signature, arguments):
        for lane, address in enumerate(_rows(context, builder, signature, *arguments[:2])):
            added = _picked(builder, arguments[2], (2 * lane, 2 * lane + 1))
            _store(builder, builder.fadd(_load(builder, address, 2), added), address)
        return context.get_dummy_value()

    return types.none(table, rows, v), generate


def _rows(context: Any, builder: ir.IRBuilder, signature: Any, table: Any, rows: Any) -> list[Any]:
    """Addresses of rows of a table (E, 2)."""
    twice = ir.Constant(_PLACE, 1)
    places = [builder.shl(builder.zext(row, _PLACE), twice) for row in cgutils.unpack_tuple(builder, rows, 8)]
    return [_address(context, builder, signature.args[0], table, place) for place in places]
