#include "ops/activation.h"

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

}  // namespace

void activation(const ops::ActivationArgs& args, int64_t begin, int64_t end) {
    const float scale = args.params.scale, slope = args.params.slope;
    switch (args.params.kind) {
        case ops::ActivationKind::kRelu:
            return apply(args, begin, end, [](Vec x) { return relu(x); });
        case ops::ActivationKind::kSigmoid:
            return apply(args, begin, end, [](Vec x) { return sigmoid(x); });
        case ops::ActivationKind::kTanh:
            return apply(args, begin, end, [=](Vec x) { return scale * tanh(slope * x); });
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA
