// Picks channels, rows and columns, each axis by its own list of indices:
//   y[n,c,h,w] = x[n, channels[c], rows[h], columns[w]], or `fill` where one of the three is -1.
// Slices, steps, flips, splits, gathers, and padding (constant, reflected or with the edge
// repeated) are all lists of this kind; pycnn/opset.py makes them. Shapes: x (N,C,H,W), y (N,
// channels, rows, columns), both NCHW16c.
#pragma once

#include <memory>
#include <vector>

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

struct GatherParams {
    std::vector<int64_t> channels, rows, columns;
    float fill = 0.0f;
};

struct GatherArgs {
    std::shared_ptr<const GatherParams> params;  // shared: arguments are copied at each run
    TensorView x, y;
};

// A unit is one row of one block of channels of one image.
TaskPtr gather_task(GatherParams params, const TensorRef& x, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
