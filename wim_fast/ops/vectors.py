"""Vectors of `LANES` numbers for numba's kernels: what the compiler makes of loops is a guess, these it has to keep.

A vector lives in registers, however many of those the processor needs for it. Arrays are flat float32, and indices are
not checked: callers see to it that all lanes lie within. Sums are in the same order on every machine; only whether
`plus_product` rounds between its product and its sum hangs on the processor.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

LANES = 16
_LANE = ir.FloatType()
_VECTOR = ir.VectorType(_LANE, LANES)
_INDEX = ir.IntType(32)
_ZERO = ir.Constant(_VECTOR, [0.0] * LANES)


class _VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(f"vector of {LANES} float32")


_vector = _VectorType()


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: types.Type) -> None:
        super().__init__(dmm, fe_type, _VECTOR)


def _address(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    """Of the element that the first two arguments, an array and an index, name."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


def _parts(builder: ir.IRBuilder, vector: Any, lanes: list[int]) -> Any:
    """A vector of some lanes of another."""
    picked = ir.Constant(ir.VectorType(_INDEX, len(lanes)), lanes)
    return builder.shuffle_vector(vector, ir.Constant(vector.type, ir.Undefined), picked)


@intrinsic  # type: ignore[misc]
def number(typing_context, array, index):
    """The float32 at `index` of a flat array, unchecked."""

    def generate(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature, arguments))

    return types.float32(array, types.int64), generate


@intrinsic  # type: ignore[misc]
def put_number(typing_context, array, index, x):
    """Write a float32 at `index` of a flat array, unchecked."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[2], _address(context, builder, signature, arguments))
        return context.get_dummy_value()

    return types.none(array, types.int64, types.float32), generate


@intrinsic  # type: ignore[misc]
def vector(typing_context, array, index):
    """The `LANES` numbers from `index` of a flat array on, unchecked."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments)
        return builder.load(builder.bitcast(address, _VECTOR.as_pointer()), align=4)

    return _vector(array, types.int64), generate


@intrinsic  # type: ignore[misc]
def put(typing_context, array, index, v):
    """Write a vector from `index` of a flat array on, unchecked."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, signature, arguments)
        builder.store(arguments[2], builder.bitcast(address, _VECTOR.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.none(array, types.int64, _vector), generate


@intrinsic  # type: ignore[misc]
def zeros(typing_context):
    """A vector of zeros."""
    return _vector(), lambda context, builder, signature, arguments: _ZERO


@intrinsic  # type: ignore[misc]
def every(typing_context, x):
    """A vector of the same number."""

    def generate(context, builder, signature, arguments):
        first = builder.insert_element(
            ir.Constant(_VECTOR, ir.Undefined), arguments[0], ir.Constant(_INDEX, 0)
        )
        return _parts(builder, first, [0] * LANES)

    return _vector(types.float32), generate


@intrinsic  # type: ignore[misc]
def plus_product(typing_context, a, v, w):
    """a + v * w, rounded once where the processor can."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        name = f"llvm.fmuladd.v{LANES}f32"
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, name), [*arguments[1:], arguments[0]]
        )

    return _vector(_vector, _vector, _vector), generate


@intrinsic  # type: ignore[misc]
def where_positive(typing_context, condition, v):
    """`v`, but 0 where `condition` is 0 or less; where it is no number, `v` too."""

    def generate(context, builder, signature, arguments):
        return builder.select(builder.fcmp_ordered("<=", arguments[0], _ZERO), _ZERO, arguments[1])

    return _vector(_vector, _vector), generate


@intrinsic  # type: ignore[misc]
def total(typing_context, v):
    """The sum of the lanes, halves added to halves."""

    def generate(context, builder, signature, arguments):
        (v,), lanes = arguments, LANES
        while lanes > 1:
            lanes //= 2
            halves = list(range(lanes)), list(range(lanes, 2 * lanes))
            v = builder.fadd(*(_parts(builder, v, half) for half in halves))
        return builder.extract_element(v, ir.Constant(_INDEX, 0))

    return types.float32(_vector), generate
