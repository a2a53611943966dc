// Convolution as a matrix product, C = A B^T with
//   A (gemm_m, gemm_k)  input pixels: row m is output pixel (n, p, q), column k is tap (r, s, c)
//   B (K, gemm_k)       weights as they are packed, [k][r][s][c]
//   gemm_m = N P Q, gemm_k = R S C; one such product for each group.
// A is never stored: these functions say where its elements lie (implicit GEMM). All of them are
// plain arithmetic, shared by the kernels, the launchers and the tests.
#pragma once

#include <cstdint>

#include "cuda/kernels/fast_divide.h"

namespace pycnn::cuda {

struct ConvGeometry {
    int h, w, c;  // of the input; channels of one group
    int k;        // output channels of one group
    int r, s, p, q;
    int stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
    int groups;
    int gemm_m, gemm_k;
    FastDivide plane, width;  // by P Q, by Q
};

struct OutputPixel {
    int n, p, q;
};
constexpr PYCNN_HOST_DEVICE OutputPixel output_pixel(const ConvGeometry& g, int m) {
    uint32_t in_plane = 0, q = 0;
    const uint32_t n = g.plane.quotient(static_cast<uint32_t>(m), in_plane);
    const uint32_t p = g.width.quotient(in_plane, q);
    return {static_cast<int>(n), static_cast<int>(p), static_cast<int>(q)};
}

// What a row of A reads at the tap r = s = 0; h and w may lie in the padding.
struct InputPixel {
    int index;  // (n H + h) W + w
    int h, w;
};
constexpr PYCNN_HOST_DEVICE InputPixel input_pixel(const ConvGeometry& g, int m) {
    const OutputPixel out = output_pixel(g, m);
    const int h = out.p * g.stride_h - g.pad_top, w = out.q * g.stride_w - g.pad_left;
    return {(out.n * g.h + h) * g.w + w, h, w};
}
// A row that reads nothing: beyond gemm_m.
constexpr PYCNN_HOST_DEVICE InputPixel no_pixel() { return {0, -(1 << 30), 0}; }

struct Tap {
    int r, s, c;
};
constexpr PYCNN_HOST_DEVICE Tap tap_at(const ConvGeometry& g, int k) {
    const int rs = k / g.c;
    return {rs / g.s, rs % g.s, k % g.c};
}
// The tap that comes `by` columns later.
constexpr PYCNN_HOST_DEVICE void advance(Tap& tap, int by, const ConvGeometry& g) {
    tap.c += by;
    while (tap.c >= g.c) {
        tap.c -= g.c;
        if (++tap.s == g.s) {
            tap.s = 0;
            ++tap.r;
        }
    }
}

// The index of the pixel that a row reads at a tap, or -1 where it lies in the padding (its value
// is zero) or beyond gemm_k.
constexpr PYCNN_HOST_DEVICE int pixel_at(const ConvGeometry& g, const InputPixel& row,
                                         const Tap& tap) {
    const int down = tap.r * g.dilation_h, right = tap.s * g.dilation_w;
    const auto h = static_cast<uint32_t>(row.h + down), w = static_cast<uint32_t>(row.w + right);
    const bool inside = h < static_cast<uint32_t>(g.h) && w < static_cast<uint32_t>(g.w);
    return inside && tap.r < g.r ? row.index + down * g.w + right : -1;
}

// --- shared memory of the mma.sync kernel ---
//
// A stage holds kStageRowBytes of each row of A and B. Chunks of 16 bytes change places, so that
// the eight rows that load_matrices reads at once lie in different banks.

inline constexpr int kChunkBytes = 16, kStageRowBytes = 64;
inline constexpr int kRowChunks = kStageRowBytes / kChunkBytes;

constexpr PYCNN_HOST_DEVICE int swizzled_offset(int row, int chunk) {
    return row * kStageRowBytes + (chunk ^ (row / 2 % kRowChunks)) * kChunkBytes;
}

// --- fragments (the layouts are in ptx.h) ---

struct RowChunk {
    int row, chunk;
};
// What lane l gives load_matrices for a 16-row fragment of A (a[0..3]), and for two 8-column
// fragments of B (b[0..1] of the first, then of the second); chunks of a step of 32 bytes.
constexpr PYCNN_HOST_DEVICE RowChunk a_fragment(int lane) { return {lane % 16, lane / 16}; }
constexpr PYCNN_HOST_DEVICE RowChunk b_fragment(int lane) {
    return {lane / 16 * 8 + lane % 8, lane / 8 % 2};
}

// Row and first column of d[0..1]; d[2..3] is 8 rows further down.
struct RowColumn {
    int row, column;
};
constexpr PYCNN_HOST_DEVICE RowColumn d_fragment(int lane) { return {lane / 4, lane % 4 * 2}; }

}  // namespace pycnn::cuda
