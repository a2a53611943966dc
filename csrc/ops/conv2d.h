// Two-dimensional convolution (cross-correlation, as in every framework):
//   y[n,k,p,q] = act(bias[k] + residual[n,k,p,q]
//              + sum_{c,r,s} x[n, g(k)*C/G + c, p*stride_h - pad_top + r*dilation_h,
//                                               q*stride_w - pad_left + s*dilation_w] * w[k,c,r,s])
// with x = 0 outside the image, g(k) = k / (K/G), act = identity or ReLU.
// Shapes: x (N,C,H,W), w (K,C/G,R,S), y and residual (N,K,P,Q);
//   P = floor((H + pad_top + pad_bottom - dilation_h*(R-1) - 1) / stride_h) + 1, Q likewise.
// x is plain NCHW or NCHW16c, y and residual are NCHW16c.
// Order of summation, for every algorithm: r, s, then c ascending, one fused multiply-add each
// where the instruction set has it. So a 1x1 convolution and a linear layer give equal bits.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "core/aligned_buffer.h"
#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

enum class Conv2dAlgorithm {
    kAuto,
    kDirect,     // any filter, stride, padding, dilation; groups of whole channel blocks
    kGemm,       // 1x1, stride 1, no padding: the pixels are the rows of a matrix
    kDepthwise,  // one input and one output channel per group
    kGrouped,    // anything: each lane gathers the input of its own group
};

struct Conv2dParams {
    std::array<int64_t, 2> stride{1, 1};
    std::array<int64_t, 4> padding{0, 0, 0, 0};  // top, bottom, left, right
    std::array<int64_t, 2> dilation{1, 1};
    int64_t groups = 1;
    bool relu = false;
    Conv2dAlgorithm algorithm = Conv2dAlgorithm::kAuto;
};

// Weights in the order in which the kernels read them: [ceil(K/16)][r][s][c][16], bias
// [ceil(K/16)][16]; lanes beyond K are zero. The same for every algorithm and instruction set.
struct PackedConv2d {
    Shape shape;  // (K, C/G, R, S)
    AlignedBuffer weights, bias;
    int64_t bytes() const { return 4 * (weights.size() + bias.size()); }
};
using PackedConv2dPtr = std::shared_ptr<const PackedConv2d>;

struct Conv2dArgs {
    Conv2dParams params;
    TensorView x, y, residual;  // residual.data is null without one
    PackedConv2dPtr packed;     // keeps what the next two point to
    const float* weights = nullptr;
    const float* bias = nullptr;
    int64_t filter_h = 1, filter_w = 1, group_channels = 1;
    // A unit is one image x `unit_blocks` blocks of output channels x `unit_pixels` output pixels.
    int64_t unit_blocks = 1, unit_pixels = 1;
    bool weights_outer = false;  // walk all pixels for one group of weights, or the reverse
};

Shape conv2d_output_shape(const Conv2dParams& params, const Shape& x, const Shape& weight);

// Pure function of the geometry. Throws UnsupportedError when a forced algorithm cannot do it.
Conv2dAlgorithm conv2d_select(const Conv2dParams& params, const Shape& x, const Shape& weight);

// weight is dense (K,C/G,R,S); bias has K elements or is null.
PackedConv2dPtr conv2d_pack(const float* weight, const Shape& shape, const float* bias);

TaskPtr conv2d_task(const Conv2dParams& params, const TensorRef& x, PackedConv2dPtr packed,
                    const std::optional<TensorRef>& residual, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
