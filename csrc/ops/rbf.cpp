#include "ops/rbf.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {

PackedRbfPtr rbf_pack(const float* weight, int64_t out_features, int64_t in_features) {
    PYCNN_CHECK(out_features >= 1 && in_features >= 1, ShapeError, "rbf: the weight (",
                out_features, ", ", in_features, ") is empty");
    const Shape shape{1, out_features, in_features, 1};
    auto packed = std::make_shared<PackedRbf>();
    packed->out_features = out_features;
    packed->in_features = in_features;
    packed->weights = AlignedBuffer(storage_elems(shape, Layout::kNchw16c));
    float* out = packed->weights.data();
    for (int64_t first = 0; first < out_features; first += kChannelBlock) {
        for (int64_t j = 0; j < in_features; ++j) {
            for (int64_t k = first; k < first + kChannelBlock; ++k) {
                *out++ = k < out_features ? weight[k * in_features + j] : 0.0f;
            }
        }
    }
    return packed;
}

TaskPtr rbf_task(const TensorRef& x, PackedRbfPtr packed, const TensorRef& y, Isa isa) {
    const Shape& in = x.view.shape;
    check_not_empty("rbf", in);
    check_blocked("rbf", "x", x);
    check_blocked("rbf", "y", y);
    PYCNN_CHECK(in.h == 1 && in.w == 1, ShapeError, "rbf: the input ", to_string(in),
                " is an image; flatten it first");
    PYCNN_CHECK(in.c == packed->in_features, ShapeError, "rbf: the input has ", in.c,
                " features, the weight expects ", packed->in_features);
    check_shape("rbf", "y", y.view.shape, {in.n, packed->out_features, 1, 1});
    RbfArgs args;
    args.weights = packed->weights.data();
    const int64_t work = in.n * packed->weights.size();
    args.packed = std::move(packed);
    auto task = std::make_unique<OpTask<RbfArgs>>(cpu::kernels(isa).rbf, std::move(args),
                                                  in.n * channel_blocks(y.view), work);
    task->bind(&RbfArgs::x, x).bind(&RbfArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
