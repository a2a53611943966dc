// Element-wise non-linearities:
//   relu(x) = max(x, 0); sigmoid(x) = 1 / (1 + exp(-x)); tanh: y = scale * tanh(slope * x)
// (LeCun et al. 1998, appendix A: scale 1.7159, slope 2/3). NaN stays NaN.
// Shapes: x, y (N,C,H,W) NCHW16c; x and y may be the same memory.
#pragma once

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

enum class ActivationKind { kRelu, kSigmoid, kTanh };

struct ActivationParams {
    ActivationKind kind = ActivationKind::kRelu;
    float scale = 1.0f, slope = 1.0f;  // tanh only
};

struct ActivationArgs {
    ActivationParams params;
    TensorView x, y;
};

// A unit is one block of channels of one image.
TaskPtr activation_task(const ActivationParams& params, const TensorRef& x, const TensorRef& y,
                        Isa isa);

}  // namespace pycnn::ops
