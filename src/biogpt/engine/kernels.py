"""The network in int8, compiled by Numba: one call reads a pass, in one thread or in several that run it together.

What a pass costs is to read its weights once; between them PyTorch would run some thousand small operations. The
products are VNNI's: four products of an unsigned input and a signed weight are added to a sum of 32 bits. They are
exact, so that what a token becomes depends neither on the tokens beside it nor on the number of threads.

Only NumPy arrays are known here. Compiled code is kept in a file that Numba renews when this one changes: all that is
compiled stands in this module.

Shapes: L layers, N new tokens, K of them whose outputs are asked for, P places of the cache, C hidden size, H heads, D
size of a head, F inner size, I inputs and O outputs of a matrix, B blocks of 64 outputs, T threads.
"""

# mypy: ignore-errors

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, float32, int32, int64, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

BLOCK = 64
"""Outputs whose weights stand together."""

_HEAD = 64  # numbers of a head, where it is of the usual size
_HEAD_VECTOR = ir.VectorType(ir.FloatType(), _HEAD)
_TOKENS = 4  # that are multiplied by a block of weights at once
_AHEAD = 4096  # bytes of weights that are fetched before they are needed
_CHUNK = 128  # tokens that are multiplied by a matrix at once: their codes stay in the processor's cache
_SPINS = 2000  # until a thread that waits lets others run
_ZERO = 128  # the unsigned input that stands for 0
_STORE, _ADD, _GELU = 0, 1, 2  # what is done with a product


def _compiled(function):
    """Compile a function when it is first called, and keep it for the next process."""
    # No NaN is taken for granted to be absent: they have to reach the outputs, where they are noticed.
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"reassoc", "contract", "nsz", "arcp"}}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # there is no directory that can be written to
        return njit(**options)(function)


class Matrices(NamedTuple):
    """The same matrix of each layer."""

    codes: np.ndarray
    """int8, (L, B, I / 4, 64, 4): of each block four inputs of all its outputs, then the next four."""
    sums: np.ndarray
    """int32, (L, B * 64): of the codes of an output, times the unsigned number that stands for 0."""
    scales: np.ndarray
    """float32, (L, B * 64)"""
    biases: np.ndarray
    """float32, (L, B * 64)"""
    first_rows: np.ndarray
    """int64, (L + 1,): which `rows` are a layer's."""
    outputs: np.ndarray
    """int64: the outputs whose weights int8 cannot hold well; their `scales` and `biases` are 0."""
    rows: np.ndarray
    """float32, (., I): their weights."""
    row_biases: np.ndarray
    """float32: their biases."""
    num_outputs: int
    """O; blocks are filled up with zeros."""


class Norms(NamedTuple):
    """The same layer norm of each layer."""

    weights: np.ndarray
    """float32, (L, C)"""
    biases: np.ndarray
    """float32, (L, C)"""
    epsilon: float


class Layers(NamedTuple):
    """All layers."""

    first_norm: Norms
    query: Matrices
    key: Matrices
    value: Matrices
    output: Matrices
    second_norm: Norms
    up: Matrices
    down: Matrices
    last_norm: Norms
    """The one behind all layers: L is 1."""
    scaling: float
    """What queries are multiplied by."""
    floor: float
    """What the activation never falls below."""


class Tokens(NamedTuple):
    """What is read."""

    places: np.ndarray
    """int64, (N,): where in the cache a token's key and value are written."""
    firsts: np.ndarray
    """int64, (N,): the place of the first token of its row."""
    num_seen: np.ndarray
    """int64, (N,): how many tokens of its row it sees, or has a say about in `seen`."""
    masks: np.ndarray
    """int64, (N,): where in `seen` it begins; -1: it sees all."""
    seen: np.ndarray
    """bool: whether a token is seen."""
    kept: np.ndarray
    """int64, (K,): the tokens whose outputs are asked for, ascending."""


class Scratch(NamedTuple):
    """Memory of one pass."""

    hidden: np.ndarray
    """float32, (N, C): at first the embeddings; at last, in its first K rows, the outputs."""
    inputs: np.ndarray
    """float32, (N, C or H * D): of the matrix that is next."""
    codes: np.ndarray
    """uint8, (N, largest I, as a multiple of 4)"""
    steps: np.ndarray
    """float32, (N,): what a code of the inputs is worth."""
    query: np.ndarray
    """float32, (N, H * D)"""
    inner: np.ndarray
    """float32, (N, F)"""
    scores: np.ndarray
    """float32, (T, 4, largest number of tokens seen)"""
    places: np.ndarray
    """int64, (T, largest number of tokens seen)"""
    counts: np.ndarray
    """int64, (T, 4)"""
    products: np.ndarray
    """float32, (T, 4, 64)"""


@intrinsic
def _multiply(typing, codes, stride, weights, num_quads, zeros, scales, biases, steps, products):
    """Four tokens, with codes at addresses `codes + stride * n`, times a block of weights: float32 (4, 64)."""
    del typing, codes, stride, weights, num_quads, zeros, scales, biases, steps, products
    return _make_multiply(_TOKENS)


@intrinsic
def _multiply_one(typing, codes, stride, weights, num_quads, zeros, scales, biases, steps, products):
    """As `_multiply`, of one token."""
    del typing, codes, stride, weights, num_quads, zeros, scales, biases, steps, products
    return _make_multiply(1)


def _make_multiply(num_tokens: int):
    num_vectors = BLOCK // 16
    word, address = ir.IntType(32), ir.IntType(64)
    whole, single = ir.VectorType(word, 16), ir.VectorType(ir.FloatType(), 16)

    def generate(context, builder, signature, arguments):
        codes, stride, weights, num_quads, zeros, scales, biases, steps, products = arguments
        dot = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(whole, [whole] * 3), "llvm.x86.avx512.vpdpbusd.512"
        )

        fetch = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), word, word, word]),
            "llvm.prefetch.p0",
        )

        def read(base, offset, kind):
            loaded = builder.load(_point(builder, base, offset, kind))
            loaded.align = 4
            return loaded

        totals = [[cgutils.alloca_once(builder, whole) for _ in range(num_vectors)] for _ in range(num_tokens)]
        for total in (each for row in totals for each in row):
            builder.store(ir.Constant(whole, None), total)
        with cgutils.for_range(builder, num_quads) as loop:
            quad = builder.mul(loop.index, address(4 * BLOCK))
            for each in range(num_vectors):
                ahead = _point(builder, weights, builder.add(quad, address(_AHEAD + 64 * each)), ir.IntType(8))
                builder.call(fetch, [ahead, word(0), word(3), word(1)])
            block = [read(weights, builder.add(quad, address(64 * each)), whole) for each in range(num_vectors)]
            for token, row in enumerate(totals):
                offset = builder.add(builder.mul(stride, address(token)), builder.mul(loop.index, address(4)))
                four = _spread(builder, read(codes, offset, word), whole)
                for total, part in zip(row, block, strict=True):
                    builder.store(builder.call(dot, [builder.load(total), four, part]), total)
        for token, row in enumerate(totals):
            step = _spread(builder, read(steps, address(4 * token), ir.FloatType()), single)
            for each, total in enumerate(row):
                place = address(64 * each)
                number = builder.sitofp(builder.sub(builder.load(total), read(zeros, place, whole)), single)
                scaled = builder.fmul(builder.fmul(number, read(scales, place, single)), step)
                made = builder.fadd(scaled, read(biases, place, single))
                target = _point(builder, products, address(4 * BLOCK * token + 64 * each), single)
                builder.store(made, target).align = 4
        return context.get_dummy_value()

    return types.void(*[types.uintp, types.intp] * 2, *[types.uintp] * 5), generate


@intrinsic
def _dot(typing, queries, stride, keys, key_stride, places, count, scores, score_stride):
    """Scores: the dot products of 64 float32 of four tokens, and of as many at `keys + key_stride * place`."""
    del typing, queries, stride, keys, key_stride, places, count, scores, score_stride
    return _make_dot(_TOKENS)


@intrinsic
def _dot_one(typing, queries, stride, keys, key_stride, places, count, scores, score_stride):
    """As `_dot`, of one token."""
    del typing, queries, stride, keys, key_stride, places, count, scores, score_stride
    return _make_dot(1)


def _make_dot(num_tokens: int):
    address, single = ir.IntType(64), ir.FloatType()

    def generate(context, builder, signature, arguments):
        queries, stride, keys, key_stride, places, count, scores, score_stride = arguments
        add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(single, [single, _HEAD_VECTOR]), f"llvm.vector.reduce.fadd.v{_HEAD}f32"
        )
        rows = [
            _load_head(builder, builder.add(queries, builder.mul(stride, address(token))))
            for token in range(num_tokens)
        ]
        with cgutils.for_range(builder, count) as loop:
            place = builder.load(_point(builder, places, builder.mul(loop.index, address(8)), address))
            key = _load_head(builder, builder.add(keys, builder.mul(place, key_stride)))
            for token, row in enumerate(rows):
                total = builder.call(add, [ir.Constant(single, -0.0), builder.fmul(row, key)], fastmath=["reassoc"])
                offset = builder.add(builder.mul(score_stride, address(token)), builder.mul(loop.index, address(4)))
                builder.store(total, _point(builder, scores, offset, single))
        return context.get_dummy_value()

    return types.void(*[types.uintp, types.intp] * 4), generate


@intrinsic
def _weigh(typing, weights, weight_stride, places, count, values, value_stride, sums, stride):
    """Sums of the 64 float32 at `values + value_stride * place`, each times its weight, for four tokens."""
    del typing, weights, weight_stride, places, count, values, value_stride, sums, stride
    return _make_weigh(_TOKENS)


@intrinsic
def _weigh_one(typing, weights, weight_stride, places, count, values, value_stride, sums, stride):
    """As `_weigh`, of one token."""
    del typing, weights, weight_stride, places, count, values, value_stride, sums, stride
    return _make_weigh(1)


def _make_weigh(num_tokens: int):
    address, single = ir.IntType(64), ir.FloatType()

    def generate(context, builder, signature, arguments):
        weights, weight_stride, places, count, values, value_stride, sums, stride = arguments
        add = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_HEAD_VECTOR, [_HEAD_VECTOR] * 3), f"llvm.fma.v{_HEAD}f32"
        )
        totals = [cgutils.alloca_once(builder, _HEAD_VECTOR) for _ in range(num_tokens)]
        for total in totals:
            builder.store(ir.Constant(_HEAD_VECTOR, None), total)
        with cgutils.for_range(builder, count) as loop:
            place = builder.load(_point(builder, places, builder.mul(loop.index, address(8)), address))
            value = _load_head(builder, builder.add(values, builder.mul(place, value_stride)))
            for token, total in enumerate(totals):
                offset = builder.add(builder.mul(weight_stride, address(token)), builder.mul(loop.index, address(4)))
                weight = _spread(builder, builder.load(_point(builder, weights, offset, single)), _HEAD_VECTOR)
                builder.store(builder.call(add, [weight, value, builder.load(total)]), total)
        for token, total in enumerate(totals):
            target = _point(builder, sums, builder.mul(stride, address(token)), _HEAD_VECTOR)
            builder.store(builder.load(total), target).align = 4
        return context.get_dummy_value()

    return types.void(*[types.uintp, types.intp] * 4), generate


def _point(builder, base, offset, kind):
    return builder.inttoptr(builder.add(base, offset), kind.as_pointer())


def _load_head(builder, address):
    loaded = builder.load(builder.inttoptr(address, _HEAD_VECTOR.as_pointer()))
    loaded.align = 4
    return loaded


def _spread(builder, number, vector):
    """A number in each place of a vector."""
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), number, ir.IntType(32)(0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), everywhere)


@intrinsic
def _nearest(typing, number):
    """The whole number that is nearest to a float32."""
    del typing, number

    def generate(context, builder, signature, arguments):
        kind = ir.FloatType()
        nearest = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), "llvm.nearbyint.f32")
        return builder.call(nearest, arguments)

    return float32(float32), generate


@intrinsic
def _to_bits(typing, number):
    """The bits of a float32, as int32."""
    del typing, number
    return int32(float32), lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.IntType(32))


@intrinsic
def _from_bits(typing, bits):
    """The float32 of these bits."""
    del typing, bits
    return float32(int32), lambda context, builder, signature, arguments: builder.bitcast(arguments[0], ir.FloatType())


@intrinsic
def _to_pointer(typing, address):
    """The float32 at an address."""
    del typing, address
    return types.CPointer(float32)(types.intp), lambda context, builder, signature, arguments: builder.inttoptr(
        arguments[0], ir.FloatType().as_pointer()
    )


@intrinsic
def _count_up(typing, address):
    """Add 1 to the int64 at an address, in one step for all threads; what it was."""
    del typing, address

    def generate(context, builder, signature, arguments):
        number = ir.IntType(64)
        pointer = builder.inttoptr(arguments[0], number.as_pointer())
        return builder.atomic_rmw("add", pointer, number(1), "seq_cst")

    return int64(types.uintp), generate


@intrinsic
def _look_up(typing, address):
    """The int64 at an address, as another thread may have left it."""
    del typing, address

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.load_atomic(pointer, "seq_cst", 8)

    return int64(types.uintp), generate


@intrinsic
def _rest(typing):
    """Let the other thread of a core go on."""
    del typing

    def generate(context, builder, signature, arguments):
        pause = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause"
        )
        builder.call(pause, [])
        return context.get_dummy_value()

    return types.void(), generate


_let_others_run = types.ExternalFunction("sched_yield", int32())


@_compiled
def _wait(arrivals, num_threads):
    """Wait until all threads have come here; `arrivals` counts those of all meetings so far."""
    if num_threads == 1:
        return
    address = arrivals.ctypes.data
    full = (_count_up(address) // num_threads + 1) * num_threads
    spins = 0
    while _look_up(address) < full:
        _rest()
        spins += 1
        if spins > _SPINS:
            _let_others_run()


@_compiled
def _share(thread, num_threads, size):
    """The part of `size` things that is a thread's: its first, and the first that is not."""
    return thread * size // num_threads, (thread + 1) * size // num_threads


@_compiled
def _exp(number):
    """e to this power, at most 80 from 0, to 2 units of the last place (as in Cephes)."""
    number = min(max(number, float32(-80.0)), float32(80.0))  # far from numbers that are slow because they are tiny
    power = _nearest(number * float32(1.4426950408889634))
    rest = number - power * float32(0.693359375) + power * float32(2.12194440e-4)
    total = float32(1.9875691500e-4)
    total = total * rest + float32(1.3981999507e-3)
    total = total * rest + float32(8.3334519073e-3)
    total = total * rest + float32(4.1665795894e-2)
    total = total * rest + float32(1.6666665459e-1)
    total = total * rest + float32(5.0000001201e-1)
    total = total * rest * rest + rest + float32(1.0)
    return total * _from_bits((int32(power) + int32(127)) << int32(23))


@_compiled
def _gelu(number):
    """GELU; the error function is Abramowitz and Stegun's 7.1.26, to 1.5e-7."""
    size = abs(number) * float32(0.7071067811865476)
    part = float32(1.0) / (float32(1.0) + float32(0.3275911) * size)
    total = float32(1.061405429)
    total = total * part - float32(1.453152027)
    total = total * part + float32(1.421413741)
    total = total * part - float32(0.284496736)
    total = total * part + float32(0.254829592)
    tail = float32(0.5) * total * part * _exp(-size * size)
    return number * (float32(1.0) - tail if number > 0 else tail)


@_compiled
def _normalize(inputs, norms, layer, outputs):
    """Layer norm of a token."""
    size = len(inputs)
    total = float32(0.0)
    for each in range(size):
        total += inputs[each]
    mean = total / float32(size)
    total = float32(0.0)
    for each in range(size):
        total += (inputs[each] - mean) * (inputs[each] - mean)
    factor = float32(1.0) / np.sqrt(total / float32(size) + float32(norms.epsilon))
    for each in range(size):
        outputs[each] = (inputs[each] - mean) * factor * norms.weights[layer, each] + norms.biases[layer, each]


@_compiled
def _quantize(inputs, floor, codes):
    """The codes of a token's inputs, those below 0 from 1 on, or all of them above `floor`; what a code is worth."""
    size = len(inputs)
    largest = int32(0)  # of the bits of numbers that are not below 0: they are ordered as the numbers are, NaN last
    if floor < 0:
        for each in range(size):
            largest = max(largest, _to_bits(inputs[each] - floor))
        step = max(_from_bits(largest), float32(1e-30)) / float32(255.0)
        factor = float32(1.0) / step
        for each in range(size):
            codes[each] = np.uint8(int32(_nearest((inputs[each] - floor) * factor)))
    else:
        for each in range(size):
            largest = max(largest, _to_bits(inputs[each]) & int32(0x7FFFFFFF))
        step = max(_from_bits(largest), float32(1e-30)) / float32(127.0)
        factor = float32(1.0) / step
        for each in range(size):
            codes[each] = np.uint8(int32(_nearest(inputs[each] * factor)) + int32(_ZERO))
    return step


@_compiled
def _apply(matrices, layer, inputs, scratch, thread, num_threads, num_tokens, outputs, places, use):
    """A thread's share of a matrix: `scratch.codes` of some tokens, which stand for `inputs`, times its weights."""
    num_blocks, num_quads = matrices.codes.shape[1], matrices.codes.shape[2]
    num_outputs, stride = matrices.num_outputs, scratch.codes.shape[1]
    products = scratch.products[thread]
    start, stop = _share(thread, num_threads, num_blocks)
    for begin in range(0, num_tokens, _CHUNK):
        end = min(begin + _CHUNK, num_tokens)
        for block in range(start, stop):
            first = block * BLOCK
            width = min(BLOCK, num_outputs - first)
            weights = matrices.codes.ctypes.data + (layer * num_blocks + block) * num_quads * 4 * BLOCK
            place = 4 * (layer * num_blocks * BLOCK + first)
            zeros = matrices.sums.ctypes.data + place
            scales = matrices.scales.ctypes.data + place
            biases = matrices.biases.ctypes.data + place
            token = begin
            while token < end:
                codes = scratch.codes.ctypes.data + token * stride
                steps = scratch.steps.ctypes.data + 4 * token
                if token + _TOKENS <= end:
                    count = _TOKENS
                    _multiply(codes, stride, weights, num_quads, zeros, scales, biases, steps, products.ctypes.data)
                else:
                    count = 1
                    _multiply_one(codes, stride, weights, num_quads, zeros, scales, biases, steps, products.ctypes.data)
                for each in range(count):
                    row = places[token + each] if len(places) else token + each
                    _put(products[each, :width], outputs[row, first : first + width], use)
                token += count
    for index in range(matrices.first_rows[layer], matrices.first_rows[layer + 1]):
        output = matrices.outputs[index]
        if start * BLOCK <= output < stop * BLOCK:
            for each in range(num_tokens):
                total = matrices.row_biases[index]
                for place in range(matrices.rows.shape[1]):
                    total += inputs[each, place] * matrices.rows[index, place]
                outputs[places[each] if len(places) else each, output] += _gelu(total) if use == _GELU else total


@_compiled
def _put(products, target, use):
    """Store, add, or store what GELU makes of them. Assigned as a whole they would take seconds more to compile."""
    if use == _STORE:
        for each in range(len(target)):
            target[each] = products[each]
    elif use == _ADD:
        for each in range(len(target)):
            target[each] += products[each]
    else:
        for each in range(len(target)):
            target[each] = _gelu(products[each])


@_compiled
def _attend(queries, keys, values, places, counts, offset, size, scaling, scores, outputs):
    """Attention of a head, whose `size` numbers begin at `offset`, of one token to places of the cache; of four at once
    where heads are of the usual size.

    Of `places` each token sees as many as `counts` says. A place that it does not see adds exactly nothing: a token's
    outputs are the same alone and beside others."""
    address = scores.ctypes.data
    strides = (4 * queries.shape[1], 4 * keys.shape[1], 4 * scores.shape[1], 4 * outputs.shape[1])
    key_address, value_address = keys.ctypes.data + 4 * offset, values.ctypes.data + 4 * offset
    query_address, output_address = queries.ctypes.data + 4 * offset, outputs.ctypes.data + 4 * offset
    num_places = len(places)
    if size == _HEAD and len(counts) == _TOKENS:
        _dot(query_address, strides[0], key_address, strides[1], places.ctypes.data, num_places, address, strides[2])
    elif size == _HEAD:
        _dot_one(
            query_address, strides[0], key_address, strides[1], places.ctypes.data, num_places, address, strides[2]
        )
    else:
        for each in range(num_places):
            total = float32(0.0)
            for index in range(offset, offset + size):
                total += queries[0, index] * keys[places[each], index]
            scores[0, each] = total
    for token in range(len(counts)):
        own = scores[token]
        largest = own[0]
        for each in range(1, counts[token]):
            largest = max(largest, own[each])
        whole = float32(0.0)
        for each in range(counts[token]):
            share = _exp((own[each] - largest) * scaling)
            own[each] = share
            whole += share
        factor = float32(1.0) / whole
        for each in range(counts[token]):
            own[each] *= factor
        for each in range(counts[token], num_places):
            own[each] = 0
    if size == _HEAD and len(counts) == _TOKENS:
        _weigh(
            address, strides[2], places.ctypes.data, num_places, value_address, strides[1], output_address, strides[3]
        )
    elif size == _HEAD:
        _weigh_one(
            address, strides[2], places.ctypes.data, num_places, value_address, strides[1], output_address, strides[3]
        )
    else:
        for index in range(offset, offset + size):
            total = float32(0.0)
            for each in range(num_places):
                total += scores[0, each] * values[places[each], index]
            outputs[0, index] = total


@_compiled
def _find_seen(tokens, token, places):
    """Write the places of the cache that a token sees; how many they are."""
    first, mask, count = tokens.firsts[token], tokens.masks[token], 0
    for each in range(tokens.num_seen[token]):
        places[count] = first + each
        if mask < 0 or tokens.seen[mask + each]:
            count += 1
    return count


@_compiled
def _is_run(tokens, row, num_tokens):
    """Whether `row` and those behind it are tokens one behind the other that see all before them."""
    if row + _TOKENS > num_tokens or tokens.masks[row] >= 0:
        return False
    for each in range(1, _TOKENS):
        is_next = tokens.num_seen[row + each] == tokens.num_seen[row] + each
        if not is_next or tokens.firsts[row + each] != tokens.firsts[row] or tokens.masks[row + each] >= 0:
            return False
    return True


@_compiled
def read(thread, num_threads, arrivals, layers, num_heads, tokens, keys, values, num_places, scratch):
    """A thread's part of a pass: `scratch.hidden` goes from embeddings to outputs. `keys` and `values`, int64 (L,), say
    where each layer's part of the cache is, float32 (P, H * D); those of the new tokens are written."""
    num_layers, num_kept = len(layers.first_norm.weights), len(tokens.kept)
    hidden, inputs, codes, steps = scratch.hidden, scratch.inputs, scratch.codes, scratch.steps
    width = scratch.query.shape[1] // num_heads
    size = hidden.shape[1]
    nowhere, counts = scratch.places[thread, :0], scratch.counts[thread]
    num_tokens = len(hidden)
    for layer in range(num_layers):
        own_keys = carray(_to_pointer(keys[layer]), (num_places, num_heads * width))
        own_values = carray(_to_pointer(values[layer]), (num_places, num_heads * width))
        is_last = layer == num_layers - 1 and num_kept < num_tokens
        start, stop = _share(thread, num_threads, num_tokens)
        for each in range(start, stop):
            _normalize(hidden[each], layers.first_norm, layer, inputs[each, :size])
            steps[each] = _quantize(inputs[each, :size], float32(0.0), codes[each])
        _wait(arrivals, num_threads)
        _apply(layers.key, layer, inputs, scratch, thread, num_threads, num_tokens, own_keys, tokens.places, _STORE)
        _apply(layers.value, layer, inputs, scratch, thread, num_threads, num_tokens, own_values, tokens.places, _STORE)
        if is_last:  # from here on only the tokens whose outputs are asked for
            _wait(arrivals, num_threads)
            num_tokens = num_kept
            if thread == 0:
                for each in range(num_kept):
                    token = tokens.kept[each]
                    _put(hidden[token], hidden[each], _STORE)
                    _put(inputs[token], inputs[each], _STORE)
                    for index in range(codes.shape[1]):
                        codes[each, index] = codes[token, index]
                    steps[each] = steps[token]
            _wait(arrivals, num_threads)
        _apply(layers.query, layer, inputs, scratch, thread, num_threads, num_tokens, scratch.query, nowhere, _STORE)
        _wait(arrivals, num_threads)
        unit = row = 0
        while row < num_tokens:
            count = _TOKENS if width == _HEAD and not is_last and _is_run(tokens, row, num_tokens) else 1
            num_seen = -1
            for head in range(num_heads):
                if unit % num_threads == thread:
                    if num_seen < 0:
                        token = tokens.kept[row] if is_last else row
                        num_seen = _find_seen(tokens, token + count - 1, scratch.places[thread])
                        for each in range(count):
                            counts[each] = num_seen - (count - 1 - each)
                    _attend(
                        *(scratch.query[row : row + count], own_keys, own_values, scratch.places[thread, :num_seen]),
                        *(counts[:count], head * width, width, float32(layers.scaling), scratch.scores[thread]),
                        inputs[row : row + count],
                    )
                unit += 1
            row += count
        _wait(arrivals, num_threads)
        start, stop = _share(thread, num_threads, num_tokens)
        for each in range(start, stop):
            steps[each] = _quantize(inputs[each, : num_heads * width], float32(0.0), codes[each])
        _wait(arrivals, num_threads)
        _apply(layers.output, layer, inputs, scratch, thread, num_threads, num_tokens, hidden, nowhere, _ADD)
        _wait(arrivals, num_threads)
        for each in range(start, stop):
            _normalize(hidden[each], layers.second_norm, layer, inputs[each, :size])
            steps[each] = _quantize(inputs[each, :size], float32(0.0), codes[each])
        _wait(arrivals, num_threads)
        _apply(layers.up, layer, inputs, scratch, thread, num_threads, num_tokens, scratch.inner, nowhere, _GELU)
        _wait(arrivals, num_threads)
        for each in range(start, stop):
            steps[each] = _quantize(scratch.inner[each], float32(layers.floor), codes[each])
        _wait(arrivals, num_threads)
        _apply(layers.down, layer, scratch.inner, scratch, thread, num_threads, num_tokens, hidden, nowhere, _ADD)
        _wait(arrivals, num_threads)
    start, stop = _share(thread, num_threads, num_tokens)
    for each in range(start, stop):
        _normalize(hidden[each], layers.last_norm, 0, hidden[each])
    _wait(arrivals, num_threads)


@_compiled
def multiply(thread, num_threads, arrivals, matrices, scratch, outputs):
    """A thread's part of one matrix: `scratch.inputs` of all tokens to `outputs`, (N, O)."""
    start, stop = _share(thread, num_threads, len(outputs))
    for each in range(start, stop):
        scratch.steps[each] = _quantize(scratch.inputs[each], float32(0.0), scratch.codes[each])
    _wait(arrivals, num_threads)
    nowhere = scratch.places[thread, :0]
    _apply(matrices, 0, scratch.inputs, scratch, thread, num_threads, len(outputs), outputs, nowhere, _STORE)
    _wait(arrivals, num_threads)
