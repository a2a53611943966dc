// Local response normalisation across channels (Krizhevsky et al. 2012, section 3.3):
//   y[n,c] = x[n,c] / (k + alpha/size * sum_{j=c-before}^{c+after} x[n,j]^2) ^ beta
// with channels outside 0..C-1 left out, size = before + after + 1.
// Conventions that are easily confused: alpha is divided by size (Caffe, torch, ONNX; the paper
// does not). For an even size torch's window has before = size/2, after = (size-1)/2, ONNX's is
// mirrored: both sides are given here. BVLC's k is 1, the paper's 2. Shapes: x, y (N,C,H,W)
// NCHW16c.
#pragma once

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

struct LrnParams {
    int64_t before = 2, after = 2;  // channels on each side, 0..kLrnMaxSide
    float alpha = 1e-4f, beta = 0.75f, k = 1.0f;
};
inline constexpr int64_t kLrnMaxSide = 64;

struct LrnArgs {
    LrnParams params;
    TensorView x, y;
};

// That of x, once the parameters are found to be good.
Shape lrn_output_shape(const LrnParams& params, const Shape& x);

// A unit is one row of one image, all channels.
TaskPtr lrn_task(const LrnParams& params, const TensorRef& x, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
