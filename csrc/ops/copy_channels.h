// Copies the channels of x into channels [offset, offset + C) of y, taking every stride-th pixel:
//   y[n, offset + c, p, q] = x[n, c, p*stride, q*stride]
// Two ops are made of it: one input of a concatenation (stride 1, fill false: the other channels of
// y are left alone), and the parameter-free shortcut of the CIFAR-10 ResNets (He et al. 2015,
// section 3.3, option A: stride 2, fill true: the other channels of y become zero). Shapes: x
// (N,C,H,W), y (N,K,P,Q) NCHW16c, K >= offset + C, P = ceil(H / stride), Q likewise.
#pragma once

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

struct CopyChannelsParams {
    int64_t offset = 0;
    int64_t stride = 1;
    bool fill = false;
};

struct CopyChannelsArgs {
    CopyChannelsParams params;
    TensorView x, y;
};

// A unit is one image (all of its channels): two inputs of a concatenation may share a block of y.
TaskPtr copy_channels_task(const CopyChannelsParams& params, const TensorRef& x, const TensorRef& y,
                           Isa isa);

}  // namespace pycnn::ops
