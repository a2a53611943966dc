// y = act(a + b), act = identity or ReLU: the sum of a residual block (He et al. 2015, eq. 1).
// Shapes: a, b, y (N,C,H,W) NCHW16c.
#pragma once

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

struct AddParams {
    bool relu = false;
};

struct AddArgs {
    AddParams params;
    TensorView a, b, y;
};

// A unit is one block of channels of one image.
TaskPtr add_task(const AddParams& params, const TensorRef& a, const TensorRef& b,
                 const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
