#include "ops/gather.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {
namespace {

void check_indices(const char* axis, const std::vector<int64_t>& indices, int64_t size) {
    for (int64_t index : indices) {
        PYCNN_CHECK(index >= -1 && index < size, ShapeError, "gather: index ", index, " of ", axis,
                    " is not one of the input's ", size);
    }
}

}  // namespace

TaskPtr gather_task(GatherParams params, const TensorRef& x, const TensorRef& y, Isa isa) {
    const Shape& in = x.view.shape;
    check_not_empty("gather", in);
    check_blocked("gather", "x", x);
    check_blocked("gather", "y", y);
    check_indices("the channels", params.channels, in.c);
    check_indices("the rows", params.rows, in.h);
    check_indices("the columns", params.columns, in.w);
    const Shape out{in.n, static_cast<int64_t>(params.channels.size()),
                    static_cast<int64_t>(params.rows.size()),
                    static_cast<int64_t>(params.columns.size())};
    check_not_empty("gather", out);
    check_shape("gather", "y", y.view.shape, out);
    auto task = std::make_unique<OpTask<GatherArgs>>(
        cpu::kernels(isa).gather,
        GatherArgs{std::make_shared<const GatherParams>(std::move(params)), {}, {}},
        out.n * channel_blocks(y.view) * out.h, 2 * storage_elems(out, Layout::kNchw16c));
    task->bind(&GatherArgs::x, x).bind(&GatherArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
