// For each op: its Params, its output shape, its packed weights and its task.
#include <map>

#include "bindings/bindings.h"
#include "bindings/kinds.h"
#include "core/error.h"
#include "ops/activation.h"
#include "ops/add.h"
#include "ops/binary.h"
#include "ops/channel_affine.h"
#include "ops/conv2d.h"
#include "ops/copy_channels.h"
#include "ops/gather.h"
#include "ops/layout.h"
#include "ops/linear.h"
#include "ops/lrn.h"
#include "ops/permute.h"
#include "ops/pool2d.h"
#include "ops/rbf.h"
#include "ops/softmax.h"

namespace pycnn::bindings {
namespace {

using namespace pycnn::ops;
using Sizes = std::vector<int64_t>;

Conv2dAlgorithm conv2d_algorithm(const std::string& name) {
    static const auto algorithms = [] {
        std::map<std::string, Conv2dAlgorithm> found;
        for (const Conv2dAlgorithmInfo& info : kConv2dAlgorithms) found[info.name] = info.algorithm;
        return found;
    }();
    return choice("conv2d: algorithm", name, algorithms);
}

void bind_conv2d(py::module_& m) {
    py::class_<Conv2dParams>(m, "Conv2dParams")
        .def(
            py::init([](std::array<int64_t, 2> stride, std::array<int64_t, 4> padding,
                        std::array<int64_t, 2> dilation, int64_t groups, bool relu, bool max_pool,
                        const std::string& algorithm) {
                return Conv2dParams{
                    stride, padding, dilation, groups, relu, max_pool, conv2d_algorithm(algorithm)};
            }),
            py::kw_only(), py::arg("stride"), py::arg("padding"), py::arg("dilation"),
            py::arg("groups"), py::arg("relu") = false, py::arg("max_pool") = false,
            py::arg("algorithm") = "auto");
    py::class_<PackedConv2d, std::shared_ptr<PackedConv2d>>(m, "PackedConv2d")
        .def_property_readonly("bytes", &PackedConv2d::bytes);
    m.def(
        "conv2d_output_shape",
        [](const Conv2dParams& params, const Sizes& x, const Sizes& weight) {
            return from_shape(conv2d_output_shape(params, to_shape(x), to_shape(weight)));
        },
        py::arg("params"), py::arg("x"), py::arg("weight"));
    m.def(
        "conv2d_select",
        [](const Conv2dParams& params, const Sizes& x, const Sizes& weight,
           const std::string& optimize, bool winograd) {
            conv2d_output_shape(params, to_shape(x), to_shape(weight));  // checks
            const auto wanted = choice<Optimize>(
                "conv2d: optimize", optimize,
                {{"latency", Optimize::kLatency}, {"throughput", Optimize::kThroughput}});
            return conv2d_info(
                       conv2d_select(params, to_shape(x), to_shape(weight), wanted, winograd))
                .name;
        },
        py::arg("params"), py::arg("x"), py::arg("weight"), py::arg("optimize") = "latency",
        py::arg("winograd") = true);
    m.def(
        "conv2d_packing",
        [](const std::string& algorithm) {
            return conv2d_info(conv2d_packing(conv2d_algorithm(algorithm))).name;
        },
        py::arg("algorithm"), "What the weights are packed for; algorithms may share a form.");
    m.def(
        "conv2d_winograd",
        [](const std::string& algorithm) -> std::optional<std::tuple<int, int, bool>> {
            const Conv2dAlgorithmInfo& info = conv2d_info(conv2d_algorithm(algorithm));
            if (!is_winograd(info.algorithm)) return std::nullopt;
            const int products = info.winograd.products();
            return std::tuple{info.winograd.output, products * products, info.transformed_weights};
        },
        py::arg("algorithm"),
        "Side of a tile of the output, products of a tile, whether the packed weights are "
        "transformed; None where it is none of Winograd's.");
    m.def(
        "conv2d_can_max_pool",
        [](const std::string& algorithm) { return can_max_pool(conv2d_algorithm(algorithm)); },
        py::arg("algorithm"));
    m.def(
        "conv2d_pack",
        [](const py::array& weight, const std::optional<py::array>& bias,
           const std::string& algorithm,
           const std::optional<py::array_t<double, py::array::c_style>>& scale, bool let_go,
           int threads) {
            const Shape shape = to_shape(Sizes(weight.shape(), weight.shape() + weight.ndim()));
            const float* w = floats(weight, storage_elems(shape, Layout::kNchw), "conv2d: weight");
            const float* b = bias ? floats(*bias, shape.n, "conv2d: bias") : nullptr;
            PYCNN_CHECK(!scale || scale->size() == shape.n, ShapeError, "conv2d: the scale has ",
                        scale->size(), " elements, expected ", shape.n);
            const Conv2dPacking packing{conv2d_algorithm(algorithm),
                                        scale ? scale->data() : nullptr, let_go, threads};
            py::gil_scoped_release release;
            return std::const_pointer_cast<PackedConv2d>(conv2d_pack(w, shape, b, packing));
        },
        py::arg("weight"), py::arg("bias"), py::arg("algorithm") = "direct",
        py::arg("scale") = py::none(), py::arg("let_go") = false, py::arg("threads") = 0,
        "`let_go`: of the weight's pages, which must be those of a read-only mapping of a file.");
    m.def(
        "conv2d_packed_bytes",
        [](const Sizes& weight, const std::string& algorithm) {
            return conv2d_packed_bytes(to_shape(weight), conv2d_algorithm(algorithm));
        },
        py::arg("weight"), py::arg("algorithm"));
    m.def(
        "conv2d_workspace_elems",
        [](const Conv2dParams& params, const Sizes& x, const Sizes& weight) {
            return conv2d_workspace_elems(params, to_shape(x), to_shape(weight));
        },
        py::arg("params"), py::arg("x"), py::arg("weight"));
    m.def(
        "conv2d_task",
        [](const Conv2dParams& params, const TensorRef& x, std::shared_ptr<PackedConv2d> packed,
           const std::optional<TensorRef>& residual, const TensorRef& y, const std::string& isa) {
            return std::const_pointer_cast<Task>(
                conv2d_task(params, x, packed, residual, y, parse_isa(isa)));
        },
        py::arg("params"), py::arg("x"), py::arg("packed"), py::arg("residual"), py::arg("y"),
        py::arg("isa"));

    m.def(
        "linear_output_shape",
        [](const Sizes& x, const Sizes& weight) {
            return from_shape(linear_output_shape(to_shape(x), to_shape(weight)));
        },
        py::arg("x"), py::arg("weight"));
    m.def(
        "linear_task",
        [](bool relu, const TensorRef& x, std::shared_ptr<PackedConv2d> packed, const TensorRef& y,
           const std::string& isa) {
            return std::const_pointer_cast<Task>(
                linear_task(LinearParams{relu}, x, packed, y, parse_isa(isa)));
        },
        py::arg("relu"), py::arg("x"), py::arg("packed"), py::arg("y"), py::arg("isa"));
}

void bind_pool2d(py::module_& m) {
    py::class_<Pool2dParams>(m, "Pool2dParams")
        .def(py::init([](const std::string& kind, std::array<int64_t, 2> kernel_size,
                         std::array<int64_t, 2> stride, std::array<int64_t, 4> padding,
                         bool ceil_mode, bool count_include_pad, const std::string& window_rule) {
                 return Pool2dParams{
                     choice<PoolKind>("pool2d: kind", kind,
                                      {{"max", PoolKind::kMax}, {"average", PoolKind::kAverage}}),
                     kernel_size,
                     stride,
                     padding,
                     ceil_mode,
                     count_include_pad,
                     choice<WindowRule>(
                         "pool2d: window_rule", window_rule,
                         {{"torch", WindowRule::kTorch}, {"caffe", WindowRule::kCaffe}})};
             }),
             py::kw_only(), py::arg("kind"), py::arg("kernel_size"), py::arg("stride"),
             py::arg("padding"), py::arg("ceil_mode"), py::arg("count_include_pad"),
             py::arg("window_rule"));
    m.def(
        "pool2d_output_shape",
        [](const Pool2dParams& params, const Sizes& x) {
            return from_shape(pool2d_output_shape(params, to_shape(x)));
        },
        py::arg("params"), py::arg("x"));
    m.def(
        "pool2d_task",
        [](const Pool2dParams& params, const TensorRef& x, const TensorRef& y,
           const std::string& isa) {
            return std::const_pointer_cast<Task>(pool2d_task(params, x, y, parse_isa(isa)));
        },
        py::arg("params"), py::arg("x"), py::arg("y"), py::arg("isa"));
}

void bind_binary(py::module_& m) {
    py::class_<PackedConstant, std::shared_ptr<PackedConstant>>(m, "PackedConstant")
        .def_property_readonly("bytes", &PackedConstant::bytes);
    m.def(
        "constant_pack",
        [](const py::array& values, const Sizes& shape) {
            const Shape sizes = to_shape(shape);
            const float* v = floats(values, storage_elems(sizes, Layout::kNchw), "constant");
            return std::const_pointer_cast<PackedConstant>(constant_pack(v, sizes));
        },
        py::arg("values"), py::arg("shape"));
    m.def(
        "binary_output_shape",
        [](const Sizes& a, const Sizes& b) {
            return from_shape(binary_output_shape(to_shape(a), to_shape(b)));
        },
        py::arg("a"), py::arg("b"));
    m.def(
        "binary_task",
        [](const std::string& kind, float alpha, float beta, bool relu,
           const std::optional<TensorRef>& a, const std::optional<TensorRef>& b,
           std::shared_ptr<PackedConstant> constant, const TensorRef& y, const std::string& isa) {
            const BinaryParams params{binary_kind(kind), alpha, beta, relu};
            return std::const_pointer_cast<Task>(
                binary_task(params, a, b, constant, y, parse_isa(isa)));
        },
        py::arg("kind"), py::arg("alpha"), py::arg("beta"), py::arg("relu"), py::arg("a"),
        py::arg("b"), py::arg("constant"), py::arg("y"), py::arg("isa"));
}

void bind_elementwise(py::module_& m) {
    m.def(
        "add_task",
        [](bool relu, const TensorRef& a, const TensorRef& b, const TensorRef& y,
           const std::string& isa) {
            return std::const_pointer_cast<Task>(
                add_task(AddParams{relu}, a, b, y, parse_isa(isa)));
        },
        py::arg("relu"), py::arg("a"), py::arg("b"), py::arg("y"), py::arg("isa"));
    m.def(
        "activation_task",
        [](const std::string& kind, float alpha, float beta, const TensorRef& x, const TensorRef& y,
           const std::string& isa) {
            return std::const_pointer_cast<Task>(activation_task(
                ActivationParams{activation_kind(kind), alpha, beta}, x, y, parse_isa(isa)));
        },
        py::arg("kind"), py::arg("alpha"), py::arg("beta"), py::arg("x"), py::arg("y"),
        py::arg("isa"));
    bind_binary(m);
    py::class_<PackedChannelAffine, std::shared_ptr<PackedChannelAffine>>(m, "PackedChannelAffine")
        .def_property_readonly("bytes", &PackedChannelAffine::bytes);
    m.def(
        "channel_affine_pack",
        [](const py::array& scale, const py::array& shift) {
            const float* s = floats(scale, scale.size(), "channel_affine: scale");
            return std::const_pointer_cast<PackedChannelAffine>(channel_affine_pack(
                s, floats(shift, scale.size(), "channel_affine: shift"), scale.size()));
        },
        py::arg("scale"), py::arg("shift"));
    m.def(
        "channel_affine_task",
        [](bool relu, const TensorRef& x, std::shared_ptr<PackedChannelAffine> packed,
           const TensorRef& y, const std::string& isa) {
            return std::const_pointer_cast<Task>(
                channel_affine_task(ChannelAffineParams{relu}, x, packed, y, parse_isa(isa)));
        },
        py::arg("relu"), py::arg("x"), py::arg("packed"), py::arg("y"), py::arg("isa"));
}

void bind_channels(py::module_& m) {
    m.def(
        "lrn_output_shape",
        [](int64_t before, int64_t after, float alpha, float beta, float k, const Sizes& x) {
            return from_shape(
                lrn_output_shape(LrnParams{before, after, alpha, beta, k}, to_shape(x)));
        },
        py::arg("before"), py::arg("after"), py::arg("alpha"), py::arg("beta"), py::arg("k"),
        py::arg("x"));
    m.def(
        "lrn_task",
        [](int64_t before, int64_t after, float alpha, float beta, float k, const TensorRef& x,
           const TensorRef& y, const std::string& isa) {
            return std::const_pointer_cast<Task>(
                lrn_task(LrnParams{before, after, alpha, beta, k}, x, y, parse_isa(isa)));
        },
        py::arg("before"), py::arg("after"), py::arg("alpha"), py::arg("beta"), py::arg("k"),
        py::arg("x"), py::arg("y"), py::arg("isa"));
    m.def(
        "softmax_task",
        [](bool log, const TensorRef& x, const TensorRef& y, const std::string& isa) {
            return std::const_pointer_cast<Task>(
                softmax_task(SoftmaxParams{log}, x, y, parse_isa(isa)));
        },
        py::arg("log"), py::arg("x"), py::arg("y"), py::arg("isa"));
    m.def(
        "copy_channels_task",
        [](int64_t offset, int64_t stride, bool fill, const TensorRef& x, const TensorRef& y,
           const std::string& isa) {
            return std::const_pointer_cast<Task>(
                copy_channels_task(CopyChannelsParams{offset, stride, fill}, x, y, parse_isa(isa)));
        },
        py::arg("offset"), py::arg("stride"), py::arg("fill"), py::arg("x"), py::arg("y"),
        py::arg("isa"));
    m.def(
        "layout_task",
        [](const TensorRef& x, const TensorRef& y, const std::string& isa) {
            return std::const_pointer_cast<Task>(layout_task(x, y, parse_isa(isa)));
        },
        py::arg("x"), py::arg("y"), py::arg("isa"));
    m.def(
        "gather_task",
        [](std::vector<int64_t> channels, std::vector<int64_t> rows, std::vector<int64_t> columns,
           float fill, const TensorRef& x, const TensorRef& y, const std::string& isa) {
            return std::const_pointer_cast<Task>(gather_task(
                GatherParams{std::move(channels), std::move(rows), std::move(columns), fill}, x, y,
                parse_isa(isa)));
        },
        py::arg("channels"), py::arg("rows"), py::arg("columns"), py::arg("fill"), py::arg("x"),
        py::arg("y"), py::arg("isa"));
    m.def(
        "permute_task",
        [](std::vector<int64_t> dims, std::vector<int64_t> perm, const TensorRef& x,
           const TensorRef& y, const std::string& isa) {
            return std::const_pointer_cast<Task>(permute_task(
                PermuteParams{std::move(dims), std::move(perm)}, x, y, parse_isa(isa)));
        },
        py::arg("dims"), py::arg("perm"), py::arg("x"), py::arg("y"), py::arg("isa"));
    py::class_<PackedRbf, std::shared_ptr<PackedRbf>>(m, "PackedRbf")
        .def_property_readonly("bytes", &PackedRbf::bytes);
    m.def(
        "rbf_pack",
        [](const py::array& weight) {
            PYCNN_CHECK(weight.ndim() == 2, ShapeError, "rbf: the weight must be (K, C)");
            return std::const_pointer_cast<PackedRbf>(rbf_pack(
                floats(weight, weight.size(), "rbf: weight"), weight.shape(0), weight.shape(1)));
        },
        py::arg("weight"));
    m.def(
        "rbf_task",
        [](const TensorRef& x, std::shared_ptr<PackedRbf> packed, const TensorRef& y,
           const std::string& isa) {
            return std::const_pointer_cast<Task>(rbf_task(x, packed, y, parse_isa(isa)));
        },
        py::arg("x"), py::arg("packed"), py::arg("y"), py::arg("isa"));
}

}  // namespace

void bind_ops(py::module_& m) {
    bind_conv2d(m);
    bind_pool2d(m);
    bind_elementwise(m);
    bind_channels(m);
}

}  // namespace pycnn::bindings
