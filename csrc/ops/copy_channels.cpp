#include "ops/copy_channels.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {

TaskPtr copy_channels_task(const CopyChannelsParams& params, const TensorRef& x, const TensorRef& y,
                           Isa isa) {
    const Shape &in = x.view.shape, &out = y.view.shape;
    check_not_empty("copy_channels", in);
    check_blocked("copy_channels", "x", x);
    check_blocked("copy_channels", "y", y);
    PYCNN_CHECK(params.stride >= 1, ShapeError, "copy_channels: stride must be at least 1, got ",
                params.stride);
    PYCNN_CHECK(params.offset >= 0 && params.offset <= out.c - in.c, ShapeError,
                "copy_channels: ", in.c, " channels from channel ", params.offset,
                " on do not fit the output's ", out.c);
    const Shape expected{in.n, out.c, (in.h - 1) / params.stride + 1,
                         (in.w - 1) / params.stride + 1};
    check_shape("copy_channels", "y", out, expected);
    const Shape copied{out.n, in.c, out.h, out.w};
    const int64_t work = 2 * storage_elems(copied, Layout::kNchw16c) +
                         (params.fill ? storage_elems(out, Layout::kNchw16c) : 0);
    auto task = std::make_unique<OpTask<CopyChannelsArgs>>(
        cpu::kernels(isa).copy_channels, CopyChannelsArgs{params, {}, {}}, out.n, work);
    task->bind(&CopyChannelsArgs::x, x).bind(&CopyChannelsArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
