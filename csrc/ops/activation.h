// Element-wise non-linearities of one number, with up to two parameters, alpha and beta:
//   relu         max(x, 0)
//   sigmoid      1 / (1 + exp(-x))
//   tanh         alpha * tanh(beta * x); LeCun et al. 1998, appendix A: 1.7159 and 2/3
//   affine       alpha * x + beta
//   leaky_relu   x, times alpha where x < 0
//   clip         min(max(x, alpha), beta), alpha <= beta; either may be infinite
//   hard_sigmoid min(max(alpha * x + beta, 0), 1); ONNX's alpha is 1/5, torch's 1/6
//   hard_swish   x * hard_sigmoid(x) with alpha 1/6, beta 1/2 (Howard et al. 2019, section 5.2)
//   pow          x ^ alpha, as C's pow: NaN for a negative x and a fraction
//   sqrt         the square root, NaN below 0
// NaN stays NaN. Shapes: x, y (N,C,H,W) NCHW16c; x and y may be the same memory.
#pragma once

#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

enum class ActivationKind {
    kRelu,
    kSigmoid,
    kTanh,
    kAffine,
    kLeakyRelu,
    kClip,
    kHardSigmoid,
    kHardSwish,
    kPow,
    kSqrt,
};

struct ActivationParams {
    ActivationKind kind = ActivationKind::kRelu;
    float alpha = 1.0f, beta = 1.0f;
};

struct ActivationArgs {
    ActivationParams params;
    TensorView x, y;
};

// A unit is one block of channels of one image.
TaskPtr activation_task(const ActivationParams& params, const TensorRef& x, const TensorRef& y,
                        Isa isa);

}  // namespace pycnn::ops
