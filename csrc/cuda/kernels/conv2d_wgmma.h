// The arithmetic of the Hopper kernel (conv2d_wgmma.cu): what the copy engine is told, how shared
// memory is described to the tensor cores, which block computes what and when. Plain C++, which the
// tests call on the host.
#pragma once

#include "cuda/kernels/conv2d_geometry.h"
#include "cuda/kernels/conv2d_plan.h"
#include "cuda/kernels/conv2d_tiles.h"

namespace pycnn::cuda {

// --- shared memory ---
//
// A stage of A is block_m rows of kWgmmaRowBytes, of B block_n. The copy engine writes them with
// the swizzle of 128 bytes, and the tensor cores undo it: within each 1024 bytes, aligned to 1024,
// chunk i of row j of eight lies at chunk i XOR j.
constexpr PYCNN_HOST_DEVICE uint32_t swizzle_128(uint32_t offset) {
    return offset ^ (offset >> 7 & 7) << 4;
}

// How wgmma is told of a matrix whose rows lie along gemm_k, swizzled as above (PTX ISA, "matrix
// descriptor"): bits 0-13 the address, 16-29 the leading byte offset, which this form does not use,
// 32-45 the distance of groups of eight rows, all in units of 16 bytes; 62-63 the swizzle, 1 for
// 128 bytes. The first row's group must begin at a multiple of 1024.
constexpr PYCNN_HOST_DEVICE uint64_t matrix_descriptor(uint32_t shared_address) {
    constexpr uint64_t kGroupBytes = 8 * kWgmmaRowBytes;
    return (shared_address >> 4 & 0x3FFF) | uint64_t{1} << 16 | (kGroupBytes >> 4) << 32 |
           uint64_t{1} << 62;
}
// An instruction multiplies 32 bytes of each row; this many units further the next one begins. The
// swizzle is applied to the sum, so that it stays right inside a row of 128 bytes.
inline constexpr int kWgmmaStepBytes = 32;
inline constexpr uint64_t kDescriptorStep = kWgmmaStepBytes >> 4;

// --- the sum ---
//
// A stage is one tap (r, s) and one run of channels: the copy engine fills what lies beyond the
// last channel with zeros, in A and in B.
struct WgmmaStages {
    int runs;  // of channels, of one tap
    int all;
};
constexpr PYCNN_HOST_DEVICE WgmmaStages wgmma_stages(const ConvGeometry& g, int depth) {
    const int runs = (g.c + depth - 1) / depth;
    return {runs, g.r * g.s * runs};
}
struct StageTap {
    int r, s, c;
};
constexpr PYCNN_HOST_DEVICE StageTap stage_tap(const ConvGeometry& g, const WgmmaStages& stages,
                                               int depth, int stage) {
    const int rs = stage / stages.runs;
    return {rs / g.s, rs % g.s, stage % stages.runs * depth};
}

// --- the schedule ---
//
// Blocks are persistent: block b of B computes items b, b + B, ... Neighbouring items share their
// rows of A, which L2 then has.
struct WorkItem {
    int row, column;  // of the tile's first output pixel and channel
    int group, part;
};
struct WorkList {
    FastDivide columns, rows, groups;  // tiles
    int count;
};
constexpr PYCNN_HOST_DEVICE WorkItem work_item(const WorkList& list, int index, int block_n) {
    uint32_t column = 0, row = 0, group = 0;
    const uint32_t rest = list.columns.quotient(static_cast<uint32_t>(index), column);
    const uint32_t part = list.groups.quotient(list.rows.quotient(rest, row), group);
    return {static_cast<int>(row) * kWgmmaBlockM, static_cast<int>(column) * block_n,
            static_cast<int>(group), static_cast<int>(part)};
}

// A position in the ring of stages. A barrier's phase ends when all have arrived; waiting names the
// parity of the phase that is to end: consumers wait for the full barrier with `parity`, the
// producer for the empty one with the other, which before the first round counts as ended.
struct RingPosition {
    int slot = 0;
    uint32_t parity = 0;
    constexpr PYCNN_HOST_DEVICE void advance(int stages) {
        if (++slot == stages) {
            slot = 0;
            parity ^= 1;
        }
    }
};

// --- tensor maps ---

// Loads pixels_per_column = block_m output pixels' inputs at one tap, across rows and images: the
// engine walks the box of pixels that are a filter's first tap, in steps of the stride; where the
// box ends it goes on in the next row, then in the next image. The tap is an offset from there, and
// what lies outside the image is zero.
inline TensorMapSpec input_map(DType dtype, const EffectiveConv& conv, const ConvGeometry& g,
                               const void* x, int64_t pitch) {
    const int64_t elem = storage_bytes(dtype);
    TensorMapSpec map;
    map.dtype = dtype;
    map.address = x;
    map.rank = 4;
    map.im2col = true;
    map.sizes[0] = conv.x.c;
    map.sizes[1] = conv.x.w;
    map.sizes[2] = conv.x.h;
    map.sizes[3] = conv.x.n;
    map.stride_bytes[0] = pitch * elem;
    map.stride_bytes[1] = conv.x.w * map.stride_bytes[0];
    map.stride_bytes[2] = conv.x.h * map.stride_bytes[1];
    map.element_strides[1] = static_cast<uint32_t>(g.stride_w);
    map.element_strides[2] = static_cast<uint32_t>(g.stride_h);
    map.lower_corner[0] = -g.pad_left;
    map.lower_corner[1] = -g.pad_top;
    // The box holds exactly Q by P steps.
    map.upper_corner[0] = (g.q - 1) * g.stride_w + 1 - g.w - g.pad_left;
    map.upper_corner[1] = (g.p - 1) * g.stride_h + 1 - g.h - g.pad_top;
    map.channels_per_pixel = static_cast<uint32_t>(kWgmmaRowBytes / elem);
    map.pixels_per_column = kWgmmaBlockM;
    return map;
}

// Weights as (c, r s, k): channels by themselves, so that a run that ends beyond them is filled
// with zeros.
inline TensorMapSpec weight_map(DType dtype, const ConvGeometry& g, const void* weights,
                                int block_n) {
    const int64_t elem = storage_bytes(dtype);
    TensorMapSpec map;
    map.dtype = dtype;
    map.address = weights;
    map.rank = 3;
    map.sizes[0] = g.c;
    map.sizes[1] = static_cast<int64_t>(g.r) * g.s;
    map.sizes[2] = static_cast<int64_t>(g.groups) * g.k;
    map.stride_bytes[0] = g.c * elem;
    map.stride_bytes[1] = map.sizes[1] * map.stride_bytes[0];
    map.box[0] = static_cast<uint32_t>(kWgmmaRowBytes / elem);
    map.box[1] = 1;
    map.box[2] = static_cast<uint32_t>(block_n);
    return map;
}

// Whether tensor maps can express it, and whether it is worth it: with few channels a stage would
// be mostly zeros. `conv` is the effective convolution.
inline bool wgmma_fits(DType dtype, const EffectiveConv& conv, int64_t groups) {
    constexpr int64_t kMaxElementStride = 8, kMinCorner = -128, kMaxCorner = 127, kMaxOffset = 255;
    const int64_t depth = kWgmmaRowBytes / storage_bytes(dtype);
    for (int axis = 0; axis < 2; ++axis) {
        const int64_t size = axis == 0 ? conv.x.h : conv.x.w, out = axis == 0 ? conv.p : conv.q;
        const int64_t filter = axis == 0 ? conv.weight.h : conv.weight.w;
        const int64_t upper = (out - 1) * conv.stride[axis] + 1 - size - conv.padding[axis];
        if (conv.stride[axis] > kMaxElementStride || -conv.padding[axis] < kMinCorner ||
            upper < kMinCorner || upper > kMaxCorner ||
            (filter - 1) * conv.dilation[axis] > kMaxOffset) {
            return false;
        }
    }
    // A group's run must not read the next group's channels, whose weights are not zero but absent.
    if (groups > 1) return conv.weight.c % depth == 0;
    return 2 * conv.weight.c >= depth;
}

}  // namespace pycnn::cuda
