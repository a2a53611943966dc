#include "ops/softmax.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {

TaskPtr softmax_task(const SoftmaxParams& params, const TensorRef& x, const TensorRef& y, Isa isa) {
    const Shape& shape = x.view.shape;
    check_not_empty("softmax", shape);
    check_blocked("softmax", "x", x);
    check_blocked("softmax", "y", y);
    check_shape("softmax", "y", y.view.shape, shape);
    constexpr int64_t kWorkEach = 16;  // exp
    auto task = std::make_unique<OpTask<SoftmaxArgs>>(
        cpu::kernels(isa).softmax, SoftmaxArgs{params, {}, {}}, shape.n * shape.h,
        kWorkEach * storage_elems(shape, Layout::kNchw16c));
    task->bind(&SoftmaxArgs::x, x).bind(&SoftmaxArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
