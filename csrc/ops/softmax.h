// Softmax over the channels: y[n,c,h,w] = exp(x[c] - max) / sum_j exp(x[j] - max), at each pixel.
// Shapes: x, y (N,C,H,W) NCHW16c.
#pragma once

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

struct SoftmaxArgs {
    TensorView x, y;
};

// A unit is one row of pixels of one image.
TaskPtr softmax_task(const TensorRef& x, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
