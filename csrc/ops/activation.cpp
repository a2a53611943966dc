#include "ops/activation.h"

#include <cmath>

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {
namespace {

void check_params(const ActivationParams& p) {
    if (p.kind == ActivationKind::kClip) {
        PYCNN_CHECK(p.alpha <= p.beta, ShapeError, "clip: the lower bound ", p.alpha,
                    " is not at most the upper bound ", p.beta);
        return;
    }
    PYCNN_CHECK(std::isfinite(p.alpha) && std::isfinite(p.beta), ShapeError,
                "activation: the parameters must be finite, got ", p.alpha, " and ", p.beta);
}

// What an element costs, of memory traffic where that outweighs the arithmetic.
int64_t work_each(ActivationKind kind) {
    switch (kind) {
        case ActivationKind::kSigmoid:
        case ActivationKind::kTanh: return 16;  // exp
        case ActivationKind::kPow: return 64;
        default: return 2;
    }
}

}  // namespace

TaskPtr activation_task(const ActivationParams& params, const TensorRef& x, const TensorRef& y,
                        Isa isa) {
    const Shape& shape = x.view.shape;
    check_not_empty("activation", shape);
    check_blocked("activation", "x", x);
    check_blocked("activation", "y", y);
    check_shape("activation", "y", y.view.shape, shape);
    check_params(params);
    auto task = std::make_unique<OpTask<ActivationArgs>>(
        cpu::kernels(isa).activation, ActivationArgs{params, {}, {}},
        shape.n * channel_blocks(y.view),
        work_each(params.kind) * storage_elems(shape, Layout::kNchw16c));
    task->bind(&ActivationArgs::x, x).bind(&ActivationArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
