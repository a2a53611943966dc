// Max and average pooling over windows, per channel.
//   out = floor_or_ceil((H + pad_top + pad_bottom - kernel) / stride) + 1
// Conventions that are easily confused:
// - ceil_mode rounds up. WindowRule::kTorch then drops a last window that would start beyond the
// input
//   and its left padding; WindowRule::kCaffe does so only where there is padding. The two differ
//   without padding and with stride > kernel: Caffe keeps an empty window (maximum -FLT_MAX as in
//   Caffe; the average is 0 here, 0/0 there).
// - Padding never wins a maximum. An average divides by the part of the window inside the padded
// input
//   (count_include_pad, also Caffe's rule), or by its part inside the input.
// Global pooling is kernel = (H, W). Layout: NCHW16c in and out. x (N,C,H,W), y (N,C,P,Q).
#pragma once

#include <array>

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

enum class PoolKind { kMax, kAverage };
enum class WindowRule { kTorch, kCaffe };

struct Pool2dParams {
    PoolKind kind = PoolKind::kMax;
    std::array<int64_t, 2> kernel_size{1, 1};
    std::array<int64_t, 2> stride{1, 1};
    std::array<int64_t, 4> padding{0, 0, 0, 0};  // top, bottom, left, right
    bool ceil_mode = false;
    bool count_include_pad = true;
    WindowRule window_rule = WindowRule::kTorch;
};

struct Pool2dArgs {
    Pool2dParams params;
    TensorView x, y;
};

Shape pool2d_output_shape(const Pool2dParams& params, const Shape& x);

// A unit is one row of one block of output channels of one image.
TaskPtr pool2d_task(const Pool2dParams& params, const TensorRef& x, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
