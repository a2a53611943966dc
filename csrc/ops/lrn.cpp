#include "ops/lrn.h"

#include <cmath>

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {
namespace {

void check_params(const LrnParams& p) {
    for (int64_t side : {p.before, p.after}) {
        PYCNN_CHECK(side >= 0, ShapeError, "lrn: the window must hold the channel itself, got ",
                    side, " channels on one side; size must be at least 1");
        PYCNN_CHECK(side <= kLrnMaxSide, UnsupportedError, "lrn: a window with ", side,
                    " channels on one side, at most ", kLrnMaxSide, " are implemented");
    }
    // Then the base of the power is never negative.
    PYCNN_CHECK(p.alpha >= 0 && std::isfinite(p.alpha), ShapeError,
                "lrn: alpha must be a number of at least 0, got ", p.alpha);
    PYCNN_CHECK(p.k >= 0 && std::isfinite(p.k), ShapeError,
                "lrn: k must be a number of at least 0, got ", p.k);
    PYCNN_CHECK(std::isfinite(p.beta), ShapeError, "lrn: beta must be finite, got ", p.beta);
}

}  // namespace

Shape lrn_output_shape(const LrnParams& params, const Shape& x) {
    check_params(params);
    check_not_empty("lrn", x);
    return x;
}

TaskPtr lrn_task(const LrnParams& params, const TensorRef& x, const TensorRef& y, Isa isa) {
    const Shape shape = lrn_output_shape(params, x.view.shape);
    check_blocked("lrn", "x", x);
    check_blocked("lrn", "y", y);
    check_shape("lrn", "y", y.view.shape, shape);
    constexpr int64_t kPowerWork = 16;
    const int64_t size = params.before + params.after + 1;
    const int64_t work = storage_elems(shape, Layout::kNchw16c) * (size + kPowerWork);
    auto task = std::make_unique<OpTask<LrnArgs>>(cpu::kernels(isa).lrn, LrnArgs{params, {}, {}},
                                                  shape.n * shape.h, work);
    task->bind(&LrnArgs::x, x).bind(&LrnArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
