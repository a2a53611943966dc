// The output layer of the 1998 LeNet-5 (LeCun et al. 1998, section II.B, eq. 7), with the sign
// turned so that the largest output is the answer: y[n,k] = - sum_j (x[n,j] - w[k,j])^2. Shapes: x
// (N,C,1,1) NCHW16c, w (K,C), y (N,K,1,1) NCHW16c.
#pragma once

#include <memory>

#include "core/aligned_buffer.h"
#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

struct PackedRbf {
    int64_t out_features = 0, in_features = 0;
    AlignedBuffer weights;  // [ceil(K/16)][j][16], lanes beyond K zero
    int64_t bytes() const { return 4 * weights.size(); }
};
using PackedRbfPtr = std::shared_ptr<const PackedRbf>;

struct RbfArgs {
    TensorView x, y;
    PackedRbfPtr packed;
    const float* weights = nullptr;
};

PackedRbfPtr rbf_pack(const float* weight, int64_t out_features, int64_t in_features);

// A unit is one block of outputs of one row.
TaskPtr rbf_task(const TensorRef& x, PackedRbfPtr packed, const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
