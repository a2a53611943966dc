// Fully connected layer: y[n,k] = act(bias[k] + sum_c x[n,c] * w[k,c]), c ascending.
// Shapes: x (N,C,1,1) NCHW16c, w (K,C), y (N,K,1,1) NCHW16c.
// It is a 1x1 convolution whose pixels are the rows of the batch, and runs on the same kernel: the
// weights are packed by conv2d_pack with shape (K,C,1,1).
#pragma once

#include "ops/conv2d.h"

namespace pycnn::ops {

struct LinearParams {
    bool relu = false;
};

Shape linear_output_shape(const Shape& x, const Shape& weight);

TaskPtr linear_task(const LinearParams& params, const TensorRef& x, PackedConv2dPtr packed,
                    const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
