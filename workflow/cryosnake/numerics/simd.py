"""Trilinear reads and writes of a Fourier volume with vector instructions that the compiler does not find by itself.

Numba's vectoriser turns such loops into gathers over many pixels, three times slower than one short vector per corner
pair: the two neighbours along x are adjacent in memory.
"""

# mypy: ignore-errors


from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_INT = ir.IntType(32)
_FAST = ("fast",)


def _vector(lanes):
    return ir.VectorType(ir.FloatType(), lanes)


def _lane(number):
    return ir.Constant(_INT, number)


def _splat(builder, value, lanes):
    empty = ir.Constant(_vector(lanes), ir.Undefined)
    first = builder.insert_element(empty, value, _lane(0))
    return builder.shuffle_vector(first, empty, ir.Constant(ir.VectorType(_INT, lanes), [0] * lanes))


def _corners(context, builder, signature, args, lanes):
    """Pointers to the vectors of the four (z, y) corners: args are array, index, y stride, z stride."""
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    index, y, z = args[1:4]
    above = builder.add(index, z)
    places = (index, builder.add(index, y), above, builder.add(above, y))
    return [builder.bitcast(builder.gep(data, [place]), _vector(lanes).as_pointer()) for place in places]


@intrinsic
def read_trilinear(typing_context, array, index, y, z, w00, w01, w10, w11, fx):
    """Return the interpolated complex value (re, im) of a flat float32 view of a complex volume.

    index: position of the corner's real part; y, z: strides in floats; w_zy: weights of the four (z, y) corners;
    fx: fraction along x.
    """
    real = types.float32
    signature = types.UniTuple(real, 2)(array, types.int64, types.int64, types.int64, real, real, real, real, real)

    def generate(context, builder, signature, args):
        total = None
        for pointer, weight in zip(_corners(context, builder, signature, args, 4), args[4:8], strict=True):
            part = builder.fmul(builder.load(pointer, align=4), _splat(builder, weight, 4), flags=_FAST)
            total = part if total is None else builder.fadd(total, part, flags=_FAST)
        right = builder.shuffle_vector(total, total, ir.Constant(ir.VectorType(_INT, 4), [2, 3, 2, 3]))
        step = builder.fmul(builder.fsub(right, total, flags=_FAST), _splat(builder, args[8], 4), flags=_FAST)
        value = builder.fadd(total, step, flags=_FAST)
        parts = [builder.extract_element(value, _lane(k)) for k in (0, 1)]
        return context.make_tuple(builder, signature.return_type, parts)

    return signature, generate


@intrinsic
def add_trilinear(typing_context, array, index, y, z, w00, w01, w10, w11, fx, re, im, weight):
    """Add (re, im, weight) to the eight neighbours in a flat float32 view of a volume with three floats per voxel.

    Two floats after each pair of voxels are read and written back unchanged: the volume needs one spare voxel.
    """
    real = types.float32
    signature = types.void(array, types.int64, types.int64, types.int64, *(real,) * 8)

    def generate(context, builder, signature, args):
        fx, re, im, weight = args[8:12]
        rest = builder.fsub(ir.Constant(ir.FloatType(), 1.0), fx, flags=_FAST)
        value = ir.Constant(_vector(8), [0.0] * 8)
        for lane, (part, share) in enumerate([(v, s) for s in (rest, fx) for v in (re, im, weight)]):
            value = builder.insert_element(value, builder.fmul(part, share, flags=_FAST), _lane(lane))
        for pointer, corner in zip(_corners(context, builder, signature, args, 8), args[4:8], strict=True):
            part = builder.fmul(value, _splat(builder, corner, 8), flags=_FAST)
            builder.store(builder.fadd(builder.load(pointer, align=4), part, flags=_FAST), pointer, align=4)
        return context.get_dummy_value()

    return signature, generate
