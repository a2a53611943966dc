// Changes of layout, values unchanged:
//   plain NCHW -> NCHW16c, NCHW16c -> plain NCHW (same shape), and
//   flatten: NCHW16c (N,C,H,W) -> NCHW16c (N,C*H*W,1,1), elements in the order c, h, w as in torch.
// Lanes beyond the last channel of a blocked result are left unspecified.
#pragma once

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

struct LayoutArgs {
    TensorView x, y;
};

Shape flatten_output_shape(const Shape& x);

// A unit is one block of channels of one image of the blocked side (of x for a flatten).
TaskPtr layout_task(const TensorRef& x, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
