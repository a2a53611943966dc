// Two-dimensional convolution (cross-correlation, as in every framework):
//   y[n,k,p,q] = act(bias[k] + residual[n,k,p,q]
//              + sum_{c,r,s} x[n, g(k)*C/G + c, p*stride_h - pad_top + r*dilation_h,
//                                               q*stride_w - pad_left + s*dilation_w] * w[k,c,r,s])
// with x = 0 outside the image, g(k) = k / (K/G), act = identity or ReLU.
// Shapes: x (N,C,H,W), w (K,C/G,R,S), y and residual (N,K,P,Q);
//   P = floor((H + pad_top + pad_bottom - dilation_h*(R-1) - 1) / stride_h) + 1, Q likewise.
// With `max_pool`, y is (N,K,P/2,Q/2), the largest of each 2x2: where P and Q are even, without a
// residual, by Winograd's algorithms with tiles of an even side.
// x is plain NCHW or NCHW16c, y and residual are NCHW16c.
// Order of summation, for every algorithm but Winograd's: r, s, then c ascending, one fused
// multiply-add each where the instruction set has it. So a 1x1 convolution and a linear layer give
// equal bits. Winograd's (ops/winograd.h) sum c in ascending order at each point of a tile.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "core/aligned_buffer.h"
#include "core/cpu_isa.h"
#include "core/task.h"
#include "ops/winograd.h"

namespace pycnn::ops {

enum class Conv2dAlgorithm {
    kAuto,
    kDirect,     // any filter, stride, padding, dilation; groups of whole channel blocks
    kGemm,       // 1x1, stride 1, no padding: the pixels are the rows of a matrix
    kDepthwise,  // one input and one output channel per group
    kStem,       // up to 8 input channels, horizontal stride 1, 2 or 4, no groups, no dilation
    kGrouped,    // anything: each lane gathers the input of its own group
    // Named F(output tile, filter). Groups of whole channel blocks, no dilation.
    kWinogradF2x2_3x3,
    kWinogradF4x4_3x3,
    kWinogradF5x5_3x3,
    kWinogradF6x6_3x3,
    kWinogradF2x2_5x5,
    kWinogradF4x4_5x5,
    kWinogradF4x4_3x3_Stride2,
    // The same, but the kernel transforms the filters while it uses them: where they are many and
    // the tiles few, so that reading them is what takes time. Input channels in whole blocks.
    kWinogradF4x4_3x3_Plain,
    kWinogradF5x5_3x3_Plain,
};

struct Conv2dAlgorithmInfo {
    Conv2dAlgorithm algorithm;
    const char* name;
    WinogradForm winograd{};           // output is 0 where it is none of Winograd's
    bool transformed_weights = false;  // U is packed, not the filters
};
// In the order of the enumerators.
inline constexpr Conv2dAlgorithmInfo kConv2dAlgorithms[] = {
    {Conv2dAlgorithm::kAuto, "auto"},
    {Conv2dAlgorithm::kDirect, "direct"},
    {Conv2dAlgorithm::kGemm, "gemm"},
    {Conv2dAlgorithm::kDepthwise, "depthwise"},
    {Conv2dAlgorithm::kStem, "stem"},
    {Conv2dAlgorithm::kGrouped, "grouped"},
    {Conv2dAlgorithm::kWinogradF2x2_3x3, "winograd_f2x2_3x3", {2, 3, 1}, true},
    {Conv2dAlgorithm::kWinogradF4x4_3x3, "winograd_f4x4_3x3", {4, 3, 1}, true},
    {Conv2dAlgorithm::kWinogradF5x5_3x3, "winograd_f5x5_3x3", {5, 3, 1}, true},
    {Conv2dAlgorithm::kWinogradF6x6_3x3, "winograd_f6x6_3x3", {6, 3, 1}, true},
    {Conv2dAlgorithm::kWinogradF2x2_5x5, "winograd_f2x2_5x5", {2, 5, 1}, true},
    {Conv2dAlgorithm::kWinogradF4x4_5x5, "winograd_f4x4_5x5", {4, 5, 1}, true},
    {Conv2dAlgorithm::kWinogradF4x4_3x3_Stride2, "winograd_f4x4_3x3_stride2", {4, 3, 2}, true},
    {Conv2dAlgorithm::kWinogradF4x4_3x3_Plain, "winograd_f4x4_3x3_plain", {4, 3, 1}},
    {Conv2dAlgorithm::kWinogradF5x5_3x3_Plain, "winograd_f5x5_3x3_plain", {5, 3, 1}},
};
constexpr const Conv2dAlgorithmInfo& conv2d_info(Conv2dAlgorithm algorithm) {
    return kConv2dAlgorithms[static_cast<int>(algorithm)];
}
constexpr bool is_winograd(Conv2dAlgorithm algorithm) {
    return conv2d_info(algorithm).winograd.output > 0;
}

// Whether 2x2 windows of the output lie within its tiles.
constexpr bool can_max_pool(Conv2dAlgorithm algorithm) {
    return is_winograd(algorithm) && conv2d_info(algorithm).winograd.output % 2 == 0;
}

struct Conv2dParams {
    std::array<int64_t, 2> stride{1, 1};
    std::array<int64_t, 4> padding{0, 0, 0, 0};  // top, bottom, left, right
    std::array<int64_t, 2> dilation{1, 1};
    int64_t groups = 1;
    bool relu = false, max_pool = false;
    Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto;
};

// Weights in the order in which the kernels read them: [ceil(K/16)][r][s][c][16], for Winograd's
// algorithms [ceil(K/16)][point][c][16] with the transformed weights or, where the kernel
// transforms them, [ceil(K/16)][C/16][r][s][16][16]; bias [ceil(K/16)][16]; lanes beyond K are
// zero. The same for every instruction set.
struct PackedConv2d {
    Shape shape;                                         // (K, C/G, R, S)
    Conv2dAlgorithm packing = Conv2dAlgorithm::kDirect;  // conv2d_packing of their algorithm
    AlignedBuffer weights, bias;
    int64_t bytes() const { return 4 * (weights.size() + bias.size()); }
};
using PackedConv2dPtr = std::shared_ptr<const PackedConv2d>;

// A block of tiles at most: its V stays in L2 where the channels are few.
inline constexpr int64_t kWinogradTilesPerBlock = 28;

// How Winograd's tiles of a batch are cut into blocks, and where the workspace's parts lie.
struct WinogradBlocks {
    int64_t tiles = 0, count = 0;        // tiles of the batch, blocks of them
    int64_t group_out_blocks = 0;        // blocks of 16 output channels of a group
    int64_t v_stride = 0, m_stride = 0;  // between points, in elements
    int64_t workspace_elems = 0;
};

struct Conv2dArgs {
    Conv2dParams params;
    TensorView x, y, residual;     // residual.data is null without one
    int64_t out_h = 0, out_w = 0;  // P, Q
    PackedConv2dPtr packed;        // keeps what the next two point to
    const float* weights = nullptr;
    const float* bias = nullptr;
    int64_t filter_h = 1, filter_w = 1, group_channels = 1;
    // A unit is one image x `unit_blocks` blocks of output channels x `unit_pixels` output pixels.
    int64_t unit_blocks = 1, unit_pixels = 1;
    bool weights_outer = false;  // walk all pixels for one group of weights, or the reverse
    int64_t unit_rows = 1;       // the stem's unit is one image x these rows
    WinogradBlocks winograd;
    float* workspace = nullptr;  // Winograd's V and M, the stem's copy of its input
};

Shape conv2d_output_shape(const Conv2dParams& params, const Shape& x, const Shape& weight);

enum class Optimize {
    kLatency,     // an image at a time: all weights are read from memory for it
    kThroughput,  // batches share them
};

// Pure function of the geometry (never of the batch) and of what the user asks for. Throws
// UnsupportedError when a forced algorithm cannot do it.
Conv2dAlgorithm conv2d_select(const Conv2dParams& params, const Shape& x, const Shape& weight,
                              Optimize optimize = Optimize::kLatency, bool winograd = true);

// What the weights are packed for: kDirect stands for all but Winograd's algorithms, one of those
// that transform filters while they use them for the others.
constexpr Conv2dAlgorithm conv2d_packing(Conv2dAlgorithm algorithm) {
    if (!is_winograd(algorithm)) return Conv2dAlgorithm::kDirect;
    return conv2d_info(algorithm).transformed_weights ? algorithm
                                                      : Conv2dAlgorithm::kWinogradF4x4_3x3_Plain;
}

// How the weights of blocks of 16 output channels are packed.
struct PackConv2dArgs {
    const float* weight = nullptr;  // (K, C/G, taps), dense
    int64_t filters = 0, channels = 0, taps = 0;
    int64_t part_channels = 0;          // are packed together, one tap of them after the other
    const double* scale = nullptr;      // K factors, or null
    const double* transform = nullptr;  // Winograd's G, [products][filter], or null
    int products = 0, filter = 0;
    float* out = nullptr;
    int64_t block_elems = 0;
};

// weight is dense (K,C/G,R,S); bias has K elements or is null. `algorithm` is what conv2d_select
// gave.
struct Conv2dPacking {
    Conv2dAlgorithm algorithm = Conv2dAlgorithm::kDirect;
    const double* scale = nullptr;  // K factors of the filters: a batch norm that was folded
    bool let_go = false;            // of the weight's pages, which are mapped from a file
    int threads = 0;                // default_num_threads() where 0
};
PackedConv2dPtr conv2d_pack(const float* weight, const Shape& shape, const float* bias,
                            const Conv2dPacking& packing = {});

// Bytes that conv2d_pack's result takes.
int64_t conv2d_packed_bytes(const Shape& shape, Conv2dAlgorithm algorithm);

// What a thread needs for itself while it runs the task.
int64_t conv2d_workspace_elems(const Conv2dParams& params, const Shape& x, const Shape& weight);

TaskPtr conv2d_task(const Conv2dParams& params, const TensorRef& x, PackedConv2dPtr packed,
                    const std::optional<TensorRef>& residual, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
