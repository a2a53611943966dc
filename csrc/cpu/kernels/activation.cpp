#include "ops/activation.h"

#include <cmath>

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec_math.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

template <class Function>
PYCNN_INLINE void apply(const ops::ActivationArgs& args, int64_t begin, int64_t end,
                        Function function) {
    auto apply_row = [=](int64_t, int64_t pixels, float* y, const float* x) {
        for (int64_t i = 0; i < pixels * kChannelBlock; i += kLanes) {
            store(y + i, function(load(x + i)));
        }
    };
    for_each_row(begin, end, apply_row, args.y, args.x);
}

PYCNN_INLINE Vec clip(Vec x, float low, float high) {
    x = x < low ? broadcast(low) : x;
    return x > high ? broadcast(high) : x;
}

// The exponents that networks use need no logarithm; the others take the C library's time.
void power(const ops::ActivationArgs& args, int64_t begin, int64_t end) {
    const float exponent = args.params.alpha;
    if (exponent == 2.0f) {
        apply(args, begin, end, [](Vec x) { return x * x; });
    } else if (exponent == -1.0f) {
        apply(args, begin, end, [](Vec x) { return 1.0f / x; });
    } else {
        apply(args, begin, end, [=](Vec x) {
            for (int i = 0; i < kLanes; ++i) x[i] = powf(x[i], exponent);
            return x;
        });
    }
}

}  // namespace

void activation(const ops::ActivationArgs& args, int64_t begin, int64_t end) {
    const float alpha = args.params.alpha, beta = args.params.beta;
    switch (args.params.kind) {
        case ops::ActivationKind::kRelu:
            return apply(args, begin, end, [](Vec x) { return relu(x); });
        case ops::ActivationKind::kSigmoid:
            return apply(args, begin, end, [](Vec x) { return sigmoid(x); });
        case ops::ActivationKind::kTanh:
            return apply(args, begin, end, [=](Vec x) { return alpha * tanh(beta * x); });
        case ops::ActivationKind::kAffine:
            return apply(args, begin, end, [=](Vec x) { return alpha * x + beta; });
        case ops::ActivationKind::kLeakyRelu:
            return apply(args, begin, end, [=](Vec x) { return x < 0.0f ? alpha * x : x; });
        case ops::ActivationKind::kClip:
            return apply(args, begin, end, [=](Vec x) { return clip(x, alpha, beta); });
        case ops::ActivationKind::kHardSigmoid:
            return apply(args, begin, end,
                         [=](Vec x) { return clip(alpha * x + beta, 0.0f, 1.0f); });
        case ops::ActivationKind::kHardSwish:
            return apply(args, begin, end,
                         [](Vec x) { return x * clip(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f); });
        case ops::ActivationKind::kPow: return power(args, begin, end);
        case ops::ActivationKind::kSqrt:
            return apply(args, begin, end, [](Vec x) { return sqrt(x); });
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA
