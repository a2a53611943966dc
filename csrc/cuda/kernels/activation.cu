#include "cuda/kernels/elementwise.h"

namespace pycnn::cuda {
namespace {

using ops::ActivationKind;

// The kind is the same for all threads: a branch that costs little beside the memory, and a kernel
// instead of ten.
struct Activation {
    ActivationKind kind;
    float alpha, beta;

    __device__ static float clip(float x, float low, float high) {
        x = x < low ? low : x;
        return x > high ? high : x;
    }
    __device__ float operator()(int, float x) const {
        switch (kind) {
            case ActivationKind::kRelu: return relu(x);
            case ActivationKind::kSigmoid: return 1.0f / (1.0f + expf(-x));
            case ActivationKind::kTanh: return alpha * tanhf(beta * x);
            case ActivationKind::kAffine: return alpha * x + beta;
            case ActivationKind::kLeakyRelu: return x < 0.0f ? alpha * x : x;
            case ActivationKind::kClip: return clip(x, alpha, beta);
            case ActivationKind::kHardSigmoid: return clip(alpha * x + beta, 0.0f, 1.0f);
            case ActivationKind::kHardSwish: return x * clip(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
            case ActivationKind::kPow: return powf(x, alpha);
            case ActivationKind::kSqrt: return sqrtf(x);
        }
        return x;
    }
};

}  // namespace

void launch_activation(const ops::ActivationParams& params, const UnaryArgs& args,
                       const Stream& stream) {
    launch_elementwise(args.dtype, stream, Activation{params.kind, params.alpha, params.beta},
                       args.y, args.x);
}

}  // namespace pycnn::cuda
