#include "cuda/task.h"

#include <utility>

#include "core/error.h"

namespace pycnn::cuda {
namespace {

Tensor tensor(const TensorRef& ref, const Addresses& at) {
    return {at.of(ref), ref.shape, ref.pitch};
}

UnaryArgs unary(const TensorRef& x, const TensorRef& y, const Addresses& at) {
    return {x.dtype, tensor(x, at), tensor(y, at)};
}

void check_nhwc(const char* op, const std::vector<TensorRef>& refs) {
    for (const TensorRef& ref : refs) {
        PYCNN_CHECK(ref.pitch >= ref.shape.c, ShapeError, op, ": a tensor ", to_string(ref.shape),
                    " has the pitch ", ref.pitch, "; it must be in the layout NHWC");
        PYCNN_CHECK(ref.dtype == refs[0].dtype, ShapeError, op,
                    ": the tensors are not of one dtype");
    }
}

void check_array(const char* op, const char* what, const DeviceArray& array, int64_t bytes) {
    PYCNN_CHECK(array != nullptr && array->bytes() == bytes, ShapeError, op, ": the ", what,
                " has ", array == nullptr ? 0 : array->bytes(), " bytes, expected ", bytes);
}

template <class Params>
Task unary_task(const char* op, void (*launch)(const Params&, const UnaryArgs&, const Stream&),
                const Params& params, const TensorRef& x, const TensorRef& y) {
    check_nhwc(op, {x, y});
    return {{x, y}, 0, [=](const Addresses& at, const Stream& stream) {
                launch(params, unary(x, y, at), stream);
            }};
}

}  // namespace

DeviceArray upload(const void* data, int64_t bytes, const std::string& what) {
    DeviceBuffer buffer(bytes, what);
    copy(buffer.data(), data, bytes, Copy::kToDevice, nullptr);
    synchronize(nullptr);
    return std::make_shared<const DeviceBuffer>(std::move(buffer));
}

DeviceArray upload_tensor(const float* values, const Shape& shape, DType dtype) {
    const int64_t elems = storage_elems(shape, Layout::kNchw);
    const DeviceArray plain = upload(values, elems * storage_bytes(DType::kFloat32), "a constant");
    DeviceBuffer made(elems * storage_bytes(dtype), "a constant");
    launch_nchw_to_nhwc({DType::kFloat32, dtype, plain->data(), {made.data(), shape, shape.c}},
                        Stream{});
    synchronize(nullptr);
    return std::make_shared<const DeviceBuffer>(std::move(made));
}

Task conv2d_task(const ConvPlan& plan, const TensorRef& x, DeviceArray weights, DeviceArray bias,
                 const std::optional<TensorRef>& residual, const TensorRef& y) {
    const ConvProblem& problem = plan.problem;
    PYCNN_CHECK(x.shape == problem.x && (x.pitch == 0) == problem.x_nchw, ShapeError,
                "conv2d: planned for another input than ", to_string(x.shape));
    check_array("conv2d", "weight", weights, conv2d_packed_bytes(plan));
    if (bias) check_array("conv2d", "bias", bias, 4 * problem.weight.n);
    std::vector<TensorRef> stored{y};
    if (!problem.x_nchw) stored.push_back(x);
    if (residual) stored.push_back(*residual);
    check_nhwc("conv2d", stored);
    PYCNN_CHECK(y.dtype == problem.dtype, ShapeError, "conv2d: planned for another dtype");
    if (problem.x_nchw) stored.push_back(x);
    return {stored, conv2d_workspace_bytes(plan), [=](const Addresses& at, const Stream& stream) {
                ConvArgs args{plan, at.of(x), x.pitch, weights->data(), nullptr, {}, {}, nullptr};
                if (bias) args.bias = reinterpret_cast<const float*>(bias->data());
                if (residual) args.residual = tensor(*residual, at);
                args.y = tensor(y, at);
                args.workspace = at.workspace;
                launch_conv2d(args, stream);
            }};
}

Task pool2d_task(const ops::Pool2dParams& params, const TensorRef& x, const TensorRef& y) {
    return unary_task("pool2d", launch_pool2d, params, x, y);
}

Task lrn_task(const ops::LrnParams& params, const TensorRef& x, const TensorRef& y) {
    return unary_task("lrn", launch_lrn, params, x, y);
}

Task activation_task(const ops::ActivationParams& params, const TensorRef& x, const TensorRef& y) {
    return unary_task("activation", launch_activation, params, x, y);
}

Task softmax_task(const ops::SoftmaxParams& params, const TensorRef& x, const TensorRef& y) {
    return unary_task("softmax", launch_softmax, params, x, y);
}

Task copy_channels_task(const ops::CopyChannelsParams& params, const TensorRef& x,
                        const TensorRef& y) {
    return unary_task("copy_channels", launch_copy_channels, params, x, y);
}

Task permute_task(const ops::PermuteParams& params, const TensorRef& x, const TensorRef& y) {
    return unary_task("permute", launch_permute, params, x, y);
}

Task flatten_task(const TensorRef& x, const TensorRef& y) {
    check_nhwc("flatten", {x, y});
    return {{x, y}, 0, [=](const Addresses& at, const Stream& stream) {
                launch_flatten(unary(x, y, at), stream);
            }};
}

Task add_task(const ops::AddParams& params, const TensorRef& a, const TensorRef& b,
              const TensorRef& y) {
    check_nhwc("add", {a, b, y});
    return {{a, b, y}, 0, [=](const Addresses& at, const Stream& stream) {
                launch_add(params, {a.dtype, tensor(a, at), tensor(b, at), tensor(y, at)}, stream);
            }};
}

Task binary_task(const ops::BinaryParams& params, const std::optional<TensorRef>& a,
                 const std::optional<TensorRef>& b, DeviceArray constant,
                 const Shape& constant_shape, const TensorRef& y) {
    std::vector<TensorRef> refs{y};
    if (a) refs.push_back(*a);
    if (b) refs.push_back(*b);
    check_nhwc("binary", refs);
    PYCNN_CHECK(static_cast<int>(refs.size()) - 1 + (constant != nullptr) == 2, ShapeError,
                "binary: expected two operands, or one and a constant");
    if (constant) {
        const int64_t elems = storage_elems(constant_shape, Layout::kNchw);
        check_array("binary", "constant", constant, elems * storage_bytes(y.dtype));
    }
    return {refs, 0, [=](const Addresses& at, const Stream& stream) {
                const auto operand = [&](const std::optional<TensorRef>& ref) -> Tensor {
                    if (ref) return tensor(*ref, at);
                    return {constant->data(), constant_shape, constant_shape.c};
                };
                launch_binary(params, {y.dtype, operand(a), operand(b), tensor(y, at)}, stream);
            }};
}

Task channel_affine_task(const ops::ChannelAffineParams& params, const TensorRef& x,
                         DeviceArray scale, DeviceArray shift, const TensorRef& y) {
    check_nhwc("channel_affine", {x, y});
    check_array("channel_affine", "scale", scale, 4 * x.shape.c);
    check_array("channel_affine", "shift", shift, 4 * x.shape.c);
    return {{x, y}, 0, [=](const Addresses& at, const Stream& stream) {
                launch_channel_affine(params,
                                      {x.dtype, tensor(x, at), tensor(y, at),
                                       reinterpret_cast<const float*>(scale->data()),
                                       reinterpret_cast<const float*>(shift->data())},
                                      stream);
            }};
}

Task gather_task(DeviceArray indices, float fill, const TensorRef& x, const TensorRef& y) {
    check_nhwc("gather", {x, y});
    check_array("gather", "list of indices", indices, 4 * (y.shape.c + y.shape.h + y.shape.w));
    return {{x, y}, 0, [=](const Addresses& at, const Stream& stream) {
                launch_gather({x.dtype, tensor(x, at), tensor(y, at),
                               reinterpret_cast<const int32_t*>(indices->data()), fill},
                              stream);
            }};
}

Task rbf_task(const TensorRef& x, DeviceArray weights, const TensorRef& y) {
    check_nhwc("rbf", {x, y});
    check_array("rbf", "weight", weights, 4 * x.shape.c * y.shape.c);
    return {{x, y}, 0, [=](const Addresses& at, const Stream& stream) {
                launch_rbf({x.dtype, tensor(x, at), tensor(y, at),
                            reinterpret_cast<const float*>(weights->data())},
                           stream);
            }};
}

Task layout_task(const TensorRef& x, const TensorRef& y) {
    PYCNN_CHECK((x.pitch == 0) != (y.pitch == 0) && x.shape == y.shape, ShapeError, "layout: from ",
                to_string(x.shape), " to ", to_string(y.shape),
                "; expected equal shapes, one of them dense NCHW, the other NHWC");
    const bool to_nhwc = x.pitch == 0;
    const TensorRef& nchw = to_nhwc ? x : y;
    const TensorRef& nhwc = to_nhwc ? y : x;
    return {{x, y}, 0, [=](const Addresses& at, const Stream& stream) {
                const LayoutArgs args{nchw.dtype, nhwc.dtype, at.of(nchw), tensor(nhwc, at)};
                (to_nhwc ? launch_nchw_to_nhwc : launch_nhwc_to_nchw)(args, stream);
            }};
}

}  // namespace pycnn::cuda
