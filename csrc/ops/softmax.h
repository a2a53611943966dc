// Softmax over the channels: y[n,c,h,w] = exp(x[c] - max) / sum_j exp(x[j] - max), at each pixel;
// or its logarithm, x[c] - max - log(sum_j exp(x[j] - max)). Shapes: x, y (N,C,H,W) NCHW16c.
#pragma once

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

struct SoftmaxParams {
    bool log = false;
};

struct SoftmaxArgs {
    SoftmaxParams params;
    TensorView x, y;
};

// A unit is one row of pixels of one image.
TaskPtr softmax_task(const SoftmaxParams& params, const TensorRef& x, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
