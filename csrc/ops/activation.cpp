#include "ops/activation.h"

#include <cmath>

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {

TaskPtr activation_task(const ActivationParams& params, const TensorRef& x, const TensorRef& y,
                        Isa isa) {
    const Shape& shape = x.view.shape;
    check_not_empty("activation", shape);
    check_blocked("activation", "x", x);
    check_blocked("activation", "y", y);
    check_shape("activation", "y", y.view.shape, shape);
    PYCNN_CHECK(std::isfinite(params.scale) && std::isfinite(params.slope), ShapeError,
                "activation: tanh's scale and slope must be finite, got ", params.scale, " and ",
                params.slope);
    const int64_t work_each = params.kind == ActivationKind::kRelu ? 2 : 16;  // exp costs the most
    auto task = std::make_unique<OpTask<ActivationArgs>>(
        cpu::kernels(isa).activation, ActivationArgs{params, {}, {}},
        shape.n * channel_blocks(y.view), work_each * storage_elems(shape, Layout::kNchw16c));
    task->bind(&ActivationArgs::x, x).bind(&ActivationArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
