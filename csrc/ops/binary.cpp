#include "ops/binary.h"

#include <cmath>

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {
namespace {

int64_t broadcast_size(int64_t a, int64_t b, const Shape& left, const Shape& right) {
    PYCNN_CHECK(a == b || a == 1 || b == 1, ShapeError, "binary: the shapes ", to_string(left),
                " and ", to_string(right),
                " do not broadcast: sizes must be equal, or one of them 1");
    return a == 1 ? b : a;
}

// The constant as an operand. Kernels only read operands.
TensorView constant_view(const PackedConstant& constant) {
    TensorView view = make_view(constant.shape, Layout::kNchw16c);
    view.data = const_cast<float*>(constant.values.data());
    return view;
}

}  // namespace

PackedConstantPtr constant_pack(const float* values, const Shape& shape) {
    check_not_empty("constant", shape);
    PYCNN_CHECK(shape.n == 1, ShapeError, "constant: N must be 1, got ", to_string(shape));
    auto packed = std::make_shared<PackedConstant>();
    packed->shape = shape;
    packed->values = AlignedBuffer(storage_elems(shape, Layout::kNchw16c));
    packed->values.poison(0);
    const TensorView view = make_view(shape, Layout::kNchw16c);
    const int64_t pixels = shape.h * shape.w;
    for (int64_t c = 0; c < shape.c; ++c) {
        float* to =
            packed->values.data() + c / kChannelBlock * view.block_stride + c % kChannelBlock;
        for (int64_t i = 0; i < pixels; ++i) to[i * kChannelBlock] = values[c * pixels + i];
    }
    return packed;
}

Shape binary_output_shape(const Shape& a, const Shape& b) {
    check_not_empty("binary", a);
    check_not_empty("binary", b);
    return {broadcast_size(a.n, b.n, a, b), broadcast_size(a.c, b.c, a, b),
            broadcast_size(a.h, b.h, a, b), broadcast_size(a.w, b.w, a, b)};
}

TaskPtr binary_task(const BinaryParams& params, const std::optional<TensorRef>& a,
                    const std::optional<TensorRef>& b, PackedConstantPtr constant,
                    const TensorRef& y, Isa isa) {
    PYCNN_CHECK((a && b) != bool(constant) && (a || b), ShapeError,
                "binary: expected two tensors, or a tensor and a constant");
    PYCNN_CHECK(std::isfinite(params.alpha) && std::isfinite(params.beta), ShapeError,
                "binary: alpha and beta must be finite, got ", params.alpha, " and ", params.beta);
    BinaryArgs args;
    args.params = params;
    if (a) check_blocked("binary", "a", *a);
    if (b) check_blocked("binary", "b", *b);
    check_blocked("binary", "y", y);
    args.a = a ? a->view : constant_view(*constant);
    args.b = b ? b->view : constant_view(*constant);
    args.constant = std::move(constant);
    const Shape out = binary_output_shape(args.a.shape, args.b.shape);
    check_shape("binary", "y", y.view.shape, out);
    auto task = std::make_unique<OpTask<BinaryArgs>>(cpu::kernels(isa).binary, std::move(args),
                                                     out.n * channel_blocks(y.view),
                                                     3 * storage_elems(out, Layout::kNchw16c));
    if (a) task->bind(&BinaryArgs::a, *a);
    if (b) task->bind(&BinaryArgs::b, *b);
    task->bind(&BinaryArgs::y, y);
    return task;
}

}  // namespace pycnn::ops
