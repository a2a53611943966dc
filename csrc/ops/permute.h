// Transposes an image as an array of other dimensions, and gives the result another shape:
//   y[n] = transpose(reshape(x[n], dims), perm), seen as (C',H',W');
// output axis i is input axis perm[i], as in NumPy. All shapes are of one image, in plain order
// (c, h, w), last index fastest; the batch stays. It is the general way for reshapes,
// transpositions and channel shuffles: an address for each number. Shapes: x (N,C,H,W), y
// (N,C',H',W') NCHW16c.
#pragma once

#include <vector>

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

inline constexpr int64_t kPermuteMaxRank = 8;

struct PermuteParams {
    std::vector<int64_t> dims, perm;  // at most kPermuteMaxRank
};

struct PermuteArgs {
    int64_t rank = 0;
    int64_t sizes[kPermuteMaxRank] = {};    // of the transposed array
    int64_t strides[kPermuteMaxRank] = {};  // its distances in x's plain order
    TensorView x, y;
};

// A unit is one row of one image: all its channels.
TaskPtr permute_task(const PermuteParams& params, const TensorRef& x, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
