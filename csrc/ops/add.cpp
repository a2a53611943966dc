#include "ops/add.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {

TaskPtr add_task(const AddParams& params, const TensorRef& a, const TensorRef& b,
                 const TensorRef& y, Isa isa) {
    const Shape& shape = a.view.shape;
    check_not_empty("add", shape);
    check_blocked("add", "a", a);
    check_blocked("add", "b", b);
    check_blocked("add", "y", y);
    check_shape("add", "b", b.view.shape, shape);
    check_shape("add", "y", y.view.shape, shape);
    auto task = std::make_unique<OpTask<AddArgs>>(
        cpu::kernels(isa).add, AddArgs{params, {}, {}, {}}, shape.n * channel_blocks(y.view),
        3 * storage_elems(shape, Layout::kNchw16c));
    task->bind(&AddArgs::a, a).bind(&AddArgs::b, b).bind(&AddArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
