// For each op on the device: its packed weights and its task.
#include "bindings/cuda.h"
#include "bindings/kinds.h"
#include "core/error.h"
#include "cuda/task.h"

namespace pycnn::bindings {
namespace {

using namespace pycnn::cuda;
using Sizes = std::vector<int64_t>;
using ops::Conv2dParams;
using ops::Pool2dParams;

// Names of the algorithms, from the kernels' own table.
std::optional<ConvAlgorithm> conv_algorithm(const std::optional<std::string>& name) {
    if (!name) return std::nullopt;
    static const auto algorithms = [] {
        std::map<std::string, ConvAlgorithm> found;
        for (int i = 0; i < kConvAlgorithms; ++i) {
            const auto algorithm = static_cast<ConvAlgorithm>(i);
            found[algorithm_name(algorithm)] = algorithm;
        }
        return found;
    }();
    return choice("conv2d: algorithm on a device", *name, algorithms);
}

DeviceArray upload_floats(const py::array& array, int device, const char* what) {
    const float* data = floats(array, array.size(), what);
    const int64_t bytes = 4 * array.size();
    const py::gil_scoped_release release;
    const DeviceGuard guard(device);
    return upload(data, bytes, what);
}

void bind_conv2d(py::module_& m) {
    py::class_<Device>(m, "Device", py::module_local(),
                       "What the choice of a convolution's algorithm looks at.")
        .def(py::init<int, int, int, int64_t>(), py::kw_only(), py::arg("major"), py::arg("minor"),
             py::arg("sm_count"), py::arg("max_shared_bytes"));
    py::class_<ConvPlan>(m, "ConvPlan", py::module_local(),
                         "All that is decided about one convolution.")
        .def_property_readonly("algorithm",
                               [](const ConvPlan& plan) { return algorithm_name(plan.algorithm); })
        .def_property_readonly("packing",
                               [](const ConvPlan& plan) {
                                   const ConvPacking& p = plan.packing;
                                   return std::tuple(dtype_name(p.dtype), p.depthwise, p.fold);
                               })
        .def_property_readonly("weight_shape",
                               [](const ConvPlan& plan) { return from_shape(plan.problem.weight); })
        .def_readonly("tile", &ConvPlan::tile)
        .def_readonly("split_k", &ConvPlan::split_k)
        .def_property_readonly("workspace_bytes", &conv2d_workspace_bytes)
        .def_property_readonly("packed_bytes", &conv2d_packed_bytes);
    m.def(
        "conv2d_select",
        [](const Conv2dParams& params, const Sizes& x, const Sizes& weight,
           const std::string& dtype, bool x_nchw, bool aligned, const Device& device,
           const std::optional<std::string>& algorithm) {
            const ConvProblem problem{parse_dtype(dtype), params, to_shape(x),
                                      to_shape(weight),   x_nchw, aligned};
            return conv2d_select(problem, device, conv_algorithm(algorithm));
        },
        py::arg("params"), py::arg("x"), py::arg("weight"), py::arg("dtype"), py::arg("x_nchw"),
        py::arg("aligned"), py::arg("device"), py::arg("algorithm") = py::none());
    m.def(
        "conv2d_pack",
        [](const ConvPlan& plan, const py::array& weight,
           const std::optional<py::array_t<double, py::array::c_style>>& scale, int device) {
            const Shape& shape = plan.problem.weight;
            const float* w = floats(weight, storage_elems(shape, Layout::kNchw), "conv2d: weight");
            PYCNN_CHECK(!scale || scale->size() == shape.n, ShapeError, "conv2d: the scale has ",
                        scale->size(), " elements, expected ", shape.n);
            const double* s = scale ? scale->data() : nullptr;
            const py::gil_scoped_release release;
            const DeviceGuard guard(device);
            const std::vector<std::byte> packed = cuda::conv2d_pack(plan, w, s);
            return std::const_pointer_cast<DeviceBuffer>(upload(
                packed.data(), static_cast<int64_t>(packed.size()), "a convolution's weights"));
        },
        py::arg("plan"), py::arg("weight"), py::arg("scale"), py::arg("device"));
    m.def(
        "conv2d_task",
        [](const ConvPlan& plan, const cuda::TensorRef& x, std::shared_ptr<DeviceBuffer> weights,
           std::shared_ptr<DeviceBuffer> bias, const std::optional<cuda::TensorRef>& residual,
           const cuda::TensorRef& y) { return conv2d_task(plan, x, weights, bias, residual, y); },
        py::arg("plan"), py::arg("x"), py::arg("weights"), py::arg("bias").none(true),
        py::arg("residual"), py::arg("y"));
}

void bind_upload(py::module_& m) {
    py::class_<DeviceBuffer, std::shared_ptr<DeviceBuffer>>(m, "DeviceBuffer", py::module_local(),
                                                            "Device memory that plans share.")
        .def_property_readonly("bytes", &DeviceBuffer::bytes);
    m.def(
        "upload",
        [](const py::array& array, int device) {
            return std::const_pointer_cast<DeviceBuffer>(
                upload_floats(array, device, "parameters"));
        },
        py::arg("array"), py::arg("device"), "A copy of float32 values.");
    m.def(
        "upload_tensor",
        [](const py::array& values, const Sizes& shape, const std::string& dtype, int device) {
            const Shape sizes = to_shape(shape);
            const float* data = floats(values, storage_elems(sizes, Layout::kNchw), "a constant");
            const py::gil_scoped_release release;
            const DeviceGuard guard(device);
            return std::const_pointer_cast<DeviceBuffer>(
                upload_tensor(data, sizes, parse_dtype(dtype)));
        },
        py::arg("values"), py::arg("shape"), py::arg("dtype"), py::arg("device"),
        "Plain float32 (1, C, H, W) as an NHWC tensor of a dtype.");
    m.def(
        "upload_indices",
        [](const std::vector<int32_t>& indices, int device) {
            const py::gil_scoped_release release;
            const DeviceGuard guard(device);
            return std::const_pointer_cast<DeviceBuffer>(
                upload(indices.data(), 4 * static_cast<int64_t>(indices.size()), "indices"));
        },
        py::arg("indices"), py::arg("device"));
}

using Ref = cuda::TensorRef;
using OptionalRef = std::optional<cuda::TensorRef>;
using Buffer = std::shared_ptr<DeviceBuffer>;

void bind_elementwise(py::module_& m) {
    m.def(
        "activation_task",
        [](const std::string& kind, float alpha, float beta, const Ref& x, const Ref& y) {
            return activation_task({activation_kind(kind), alpha, beta}, x, y);
        },
        py::arg("kind"), py::arg("alpha"), py::arg("beta"), py::arg("x"), py::arg("y"));
    m.def(
        "add_task",
        [](bool relu, const Ref& a, const Ref& b, const Ref& y) {
            return add_task({relu}, a, b, y);
        },
        py::arg("relu"), py::arg("a"), py::arg("b"), py::arg("y"));
    m.def(
        "binary_task",
        [](const std::string& kind, float alpha, float beta, bool relu, const OptionalRef& a,
           const OptionalRef& b, const Buffer& constant, const Sizes& constant_shape,
           const Ref& y) {
            return binary_task({binary_kind(kind), alpha, beta, relu}, a, b, constant,
                               to_shape(constant_shape), y);
        },
        py::arg("kind"), py::arg("alpha"), py::arg("beta"), py::arg("relu"), py::arg("a"),
        py::arg("b"), py::arg("constant").none(true), py::arg("constant_shape"), py::arg("y"));
    m.def(
        "channel_affine_task",
        [](bool relu, const Ref& x, const Buffer& scale, const Buffer& shift, const Ref& y) {
            return channel_affine_task({relu}, x, scale, shift, y);
        },
        py::arg("relu"), py::arg("x"), py::arg("scale"), py::arg("shift"), py::arg("y"));
}

void bind_channels(py::module_& m) {
    m.def("pool2d_task", &pool2d_task, py::arg("params"), py::arg("x"), py::arg("y"));
    m.def(
        "lrn_task",
        [](int64_t before, int64_t after, float alpha, float beta, float k, const Ref& x,
           const Ref& y) { return lrn_task({before, after, alpha, beta, k}, x, y); },
        py::arg("before"), py::arg("after"), py::arg("alpha"), py::arg("beta"), py::arg("k"),
        py::arg("x"), py::arg("y"));
    m.def(
        "softmax_task",
        [](bool log, const Ref& x, const Ref& y) { return softmax_task({log}, x, y); },
        py::arg("log"), py::arg("x"), py::arg("y"));
    m.def(
        "copy_channels_task",
        [](int64_t offset, int64_t stride, bool fill, const Ref& x, const Ref& y) {
            return copy_channels_task({offset, stride, fill}, x, y);
        },
        py::arg("offset"), py::arg("stride"), py::arg("fill"), py::arg("x"), py::arg("y"));
    m.def(
        "gather_task",
        [](const Buffer& indices, float fill, const Ref& x, const Ref& y) {
            return gather_task(indices, fill, x, y);
        },
        py::arg("indices"), py::arg("fill"), py::arg("x"), py::arg("y"));
    m.def(
        "permute_task",
        [](Sizes dims, Sizes perm, const Ref& x, const Ref& y) {
            return permute_task({std::move(dims), std::move(perm)}, x, y);
        },
        py::arg("dims"), py::arg("perm"), py::arg("x"), py::arg("y"));
    m.def("flatten_task", &flatten_task, py::arg("x"), py::arg("y"));
    m.def("layout_task", &layout_task, py::arg("x"), py::arg("y"));
    m.def(
        "rbf_task",
        [](const Ref& x, const Buffer& weights, const Ref& y) { return rbf_task(x, weights, y); },
        py::arg("x"), py::arg("weights"), py::arg("y"));
}

}  // namespace

void bind_cuda_ops(py::module_& m) {
    bind_upload(m);
    bind_conv2d(m);
    bind_elementwise(m);
    bind_channels(m);
}

}  // namespace pycnn::bindings
