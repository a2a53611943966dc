#include "ops/pool2d.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {
namespace {

// Beyond this, products of sizes could overflow.
constexpr int64_t kMaxExtent = int64_t{1} << 30;

void check_params(const Pool2dParams& p) {
    for (int i = 0; i < 2; ++i) {
        PYCNN_CHECK(p.kernel_size[i] <= kMaxExtent && p.stride[i] <= kMaxExtent, ShapeError,
                    "pool2d: a kernel_size or stride beyond 2^30");
        PYCNN_CHECK(p.kernel_size[i] >= 1, ShapeError,
                    "pool2d: kernel_size must be at least 1, got ", p.kernel_size[i]);
        PYCNN_CHECK(p.stride[i] >= 1, ShapeError, "pool2d: stride must be at least 1, got ",
                    p.stride[i]);
        for (int side = 0; side < 2; ++side) {
            const int64_t padding = p.padding[2 * i + side];
            PYCNN_CHECK(padding >= 0 && padding < p.kernel_size[i], ShapeError, "pool2d: padding ",
                        padding, " must be at least 0 and smaller than kernel_size ",
                        p.kernel_size[i], ": a window would lie in the padding alone");
        }
    }
}

int64_t output_size(const Pool2dParams& p, int axis, int64_t size) {
    const int64_t before = p.padding[2 * axis], after = p.padding[2 * axis + 1];
    const int64_t span = size + before + after - p.kernel_size[axis];
    PYCNN_CHECK(span >= 0, ShapeError, "pool2d: the window of ", p.kernel_size[axis],
                " is larger than the padded input of ", size + before + after);
    const int64_t stride = p.stride[axis];
    int64_t out = (p.ceil_mode ? divide_round_up(span, stride) : span / stride) + 1;
    const bool padded = p.padding != decltype(p.padding){};
    const bool clip = p.window_rule == WindowRule::kTorch || padded;
    if (p.ceil_mode && clip && (out - 1) * stride >= size + before) --out;
    return out;
}

}  // namespace

Shape pool2d_output_shape(const Pool2dParams& params, const Shape& x) {
    check_params(params);
    check_not_empty("pool2d", x);
    return {x.n, x.c, output_size(params, 0, x.h), output_size(params, 1, x.w)};
}

TaskPtr pool2d_task(const Pool2dParams& params, const TensorRef& x, const TensorRef& y, Isa isa) {
    const Shape out = pool2d_output_shape(params, x.view.shape);
    check_blocked("pool2d", "x", x);
    check_blocked("pool2d", "y", y);
    check_shape("pool2d", "y", y.view.shape, out);
    const int64_t units = out.n * channel_blocks(y.view) * out.h;
    const int64_t window = params.kernel_size[0] * params.kernel_size[1];
    const int64_t work = storage_elems(out, Layout::kNchw16c) * window;
    auto task = std::make_unique<OpTask<Pool2dArgs>>(cpu::kernels(isa).pool2d,
                                                     Pool2dArgs{params, {}, {}}, units, work);
    task->bind(&Pool2dArgs::x, x).bind(&Pool2dArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
