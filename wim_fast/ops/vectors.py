"""Vectors of float32 for numba's kernels: what the compiler makes of loops is a guess, these it has to keep.

A vector lives in registers, however many of those the processor needs for it. Arrays are contiguous, and indices are not
checked: callers see to it that what they name is there. Sums are in the same order on every machine; only whether a
product is rounded before something is added to it hangs on the processor.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 16
_SERIES = [math.log(2) ** k / math.factorial(k) for k in range(7)]  # of 2^x round 0
_LEAST_EXPONENT = -126.0  # of a normal float32
_BIAS, _MANTISSA_BITS = 127, 23  # what is added to an exponent that is stored, and where that is
_FLOAT, _INDEX, _PLACE = ir.FloatType(), ir.IntType(32), ir.IntType(64)


def filled_up(count: int) -> int:
    """So many numbers, and those that fill up the last vector of `LANES`."""
    return -(-count // LANES) * LANES


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
    return _call(builder, "fmuladd", v, w, a)


def _larger(builder: ir.IRBuilder, v: Any, w: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", w, v), w, v)


def _smaller(builder: ir.IRBuilder, v: Any, w: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", w, v), w, v)


def _reduced(builder: ir.IRBuilder, v: Any, operation: Callable) -> Any:
    """The lanes as one, halves with halves."""
    while v.type.count > 1:
        v = operation(builder, *_halves(builder, v))
    return builder.extract_element(v, ir.Constant(_INDEX, 0))


def _sum(builder: ir.IRBuilder, v: Any) -> Any:
    return _reduced(builder, v, ir.IRBuilder.fadd)


def _call(builder: ir.IRBuilder, name: str, *arguments: Any) -> Any:
    """What LLVM has for vectors by that name: of vectors of one type, and of the same type itself."""
    kind = arguments[0].type
    function = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, f"llvm.{name}.v{kind.count}f32"), arguments
    )


def _define(operation: Callable, build: Callable[[ir.IRBuilder, Any, Any], Any]) -> None:
    """An operator between vectors, or between a vector and a number."""

    class Template(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: tuple[types.Type, ...], kws: dict) -> Any:
            vectors = [kind for kind in args if isinstance(kind, _VectorType)]
            known = all(kind in (types.float32, vectors[0]) for kind in args) if vectors else False
            return signature(vectors[0], *args) if known and len(args) == 2 else None

    def lowered(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Sequence[Any]) -> Any:
        lanes = signature.return_type.lanes
        v, w = (x if isinstance(x.type, ir.VectorType) else _every(builder, x, lanes) for x in arguments)
        return build(builder, v, w)

    infer_global(operation)(Template)
    for kinds in ((_VectorType, _VectorType), (_VectorType, types.Float), (types.Float, _VectorType)):
        lower_builtin(operation, *kinds)(lowered)


_define(operator.add, ir.IRBuilder.fadd)
_define(operator.sub, ir.IRBuilder.fsub)
_define(operator.mul, ir.IRBuilder.fmul)
_define(operator.truediv, ir.IRBuilder.fdiv)


@intrinsic  # type: ignore[misc]
def number(typing_context, array, index):
    """The float32 at `index` of a flat array."""

    def generate(context, builder, signature, arguments):
        return builder.load(_address(context, builder, signature.args[0], *arguments))

    return types.float32(array, types.int64), generate


def _loaded(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    """The vector from an index of a flat array on."""
    address = _address(context, builder, signature.args[0], *arguments)
    return _load(builder, address, signature.return_type.lanes)


@intrinsic  # type: ignore[misc]
def vector(typing_context, array, index):
    """The `LANES` numbers from `index` of a flat array on."""
    return _VectorType(LANES)(array, types.int64), _loaded


@intrinsic  # type: ignore[misc]
def octet(typing_context, array, index):
    """The eight numbers from `index` of a flat array on."""
    return _VectorType(8)(array, types.int64), _loaded


@intrinsic  # type: ignore[misc]
def quad(typing_context, array, index):
    """The four numbers from `index` of a flat array on."""
    return _VectorType(4)(array, types.int64), _loaded


def _made(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    """The vector of some numbers."""
    v = ir.Constant(_register(len(arguments)), ir.Undefined)
    for lane, x in enumerate(arguments):
        v = builder.insert_element(v, x, ir.Constant(_INDEX, lane))
    return v


@intrinsic  # type: ignore[misc]
def octet_of(typing_context, a, b, c, d, e, f, g, h):
    """The vector of eight numbers."""
    return _VectorType(8)(*[types.float32] * 8), _made


@intrinsic  # type: ignore[misc]
def quad_of(typing_context, x, y, z, w):
    """The vector of four numbers."""
    return _VectorType(4)(*[types.float32] * 4), _made


@intrinsic  # type: ignore[misc]
def pair_of(typing_context, x, y):
    """The vector of two numbers."""
    return _VectorType(2)(types.float32, types.float32), _made


@intrinsic  # type: ignore[misc]
def put(typing_context, array, index, v):
    """Write a vector, or a number, from `index` of a flat array on."""

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
def root(typing_context, v):
    """Of each lane."""
    return v(v), lambda context, builder, signature, arguments: _call(builder, "sqrt", *arguments)


@intrinsic  # type: ignore[misc]
def exponential(typing_context, v):
    """exp(v) of v <= 0. Off by 6e-7 of it at -10, by 4e-6 at -85; below, the least normal number is taken."""

    def generate(context, builder, signature, arguments):
        kind = arguments[0].type
        whole_kind = ir.VectorType(_INDEX, kind.count)

        def constant(x: float, kind: Any = kind) -> Any:
            return ir.Constant(kind, [x] * kind.count)

        x = builder.fmul(arguments[0], constant(1 / math.log(2)))
        x = _larger(builder, x, constant(_LEAST_EXPONENT))
        whole = builder.fptosi(builder.fsub(x, constant(0.5)), whole_kind)
        rest = builder.fsub(
            x, builder.sitofp(whole, x.type)
        )  # within a half of 0: the series below is that of 2^rest
        power = constant(_SERIES[-1])
        for coefficient in _SERIES[-2::-1]:
            power = _plus_product(builder, constant(coefficient), power, rest)
        exponent = builder.shl(
            builder.add(whole, constant(_BIAS, whole_kind)), constant(_MANTISSA_BITS, whole_kind)
        )
        return builder.fmul(power, builder.bitcast(exponent, x.type))

    return v(v), generate


@intrinsic  # type: ignore[misc]
def magnitude(typing_context, v):
    """Of each lane."""
    return v(v), lambda context, builder, signature, arguments: _call(builder, "fabs", *arguments)


@intrinsic  # type: ignore[misc]
def signed_as(typing_context, v, w):
    """The magnitudes of `v` with the signs of `w`."""
    return v(v, w), lambda context, builder, signature, arguments: _call(builder, "copysign", *arguments)


@intrinsic  # type: ignore[misc]
def larger(typing_context, v, w):
    """Of each two lanes, or of each lane and a number; that of `v` if either is no number."""

    def generate(context, builder, signature, arguments):
        v, w = arguments
        return _larger(builder, v, w if w.type == v.type else _every(builder, w, v.type.count))

    return v(v, w), generate


@intrinsic  # type: ignore[misc]
def smaller(typing_context, v, w):
    """Of each two lanes; that of `v` if either is no number."""
    return v(v, w), lambda context, builder, signature, arguments: _smaller(builder, *arguments)


@intrinsic  # type: ignore[misc]
def lowest(typing_context, v):
    """The least of the lanes."""

    def generate(context, builder, signature, arguments):
        return _reduced(builder, arguments[0], _smaller)

    return types.float32(v), generate


@intrinsic  # type: ignore[misc]
def at_most(typing_context, v, x):
    """In which lanes `v` is `x` or less: bits of an int64, that of the first lane lowest."""
    return types.int64(v, types.float32), lambda *given: _bits("<=", *given)


@intrinsic  # type: ignore[misc]
def at_least(typing_context, v, x):
    """In which lanes `v` is `x` or more: bits of an int64."""
    return types.int64(v, types.float32), lambda *given: _bits(">=", *given)


@intrinsic  # type: ignore[misc]
def less(typing_context, v, x):
    """In which lanes `v` is less than `x`: bits of an int64."""
    return types.int64(v, types.float32), lambda *given: _bits("<", *given)


@intrinsic  # type: ignore[misc]
def equal(typing_context, v, x):
    """In which lanes `v` is `x`: bits of an int64."""
    return types.int64(v, types.float32), lambda *given: _bits("==", *given)


def _bits(comparison: str, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    v, x = arguments
    lanes = builder.fcmp_ordered(comparison, v, _every(builder, x, v.type.count))
    return builder.zext(builder.bitcast(lanes, ir.IntType(v.type.count)), _PLACE)


@intrinsic  # type: ignore[misc]
def count_bits(typing_context, bits):
    """How many bits of an int64 are set."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.int64), generate


@intrinsic  # type: ignore[misc]
def lowest_bit(typing_context, bits):
    """The place of the lowest bit of an int64 that is set, where one is."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic  # type: ignore[misc]
def where_positive(typing_context, condition, v, w):
    """Of each lane `v`, but `w` where `condition` is 0 or less; where that is no number, `v` too."""

    def generate(context, builder, signature, arguments):
        condition, v, w = arguments
        zero = ir.Constant(v.type, [0.0] * v.type.count)
        return builder.select(builder.fcmp_ordered("<=", condition, zero), w, v)

    return v(condition, v, w), generate


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
