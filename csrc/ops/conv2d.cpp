#include "ops/conv2d.h"

#include <algorithm>

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {
namespace {

constexpr const char* kAxis[2] = {"height", "width"};

// Beyond this, products of sizes could overflow; no image or filter comes near.
constexpr int64_t kMaxExtent = int64_t{1} << 30;

void check_params(const Conv2dParams& p) {
    PYCNN_CHECK(p.groups >= 1, ShapeError, "conv2d: groups must be at least 1, got ", p.groups);
    for (int i = 0; i < 2; ++i) {
        PYCNN_CHECK(p.stride[i] >= 1 && p.stride[i] <= kMaxExtent, ShapeError,
                    "conv2d: stride must be at least 1, got ", p.stride[i]);
        PYCNN_CHECK(p.dilation[i] >= 1 && p.dilation[i] <= kMaxExtent, ShapeError,
                    "conv2d: dilation must be at least 1, got ", p.dilation[i]);
    }
    for (int64_t padding : p.padding) {
        PYCNN_CHECK(padding >= 0 && padding <= kMaxExtent, ShapeError,
                    "conv2d: padding must be 0..2^30, got ", padding);
    }
}

int64_t output_size(const Conv2dParams& p, int axis, int64_t size, int64_t filter) {
    const int64_t padded = size + p.padding[2 * axis] + p.padding[2 * axis + 1];
    const int64_t extent = p.dilation[axis] * (filter - 1) + 1;
    PYCNN_CHECK(padded >= extent, ShapeError, "conv2d: the filter covers ", extent,
                " pixels, more than the padded input's ", kAxis[axis], " of ", padded);
    return (padded - extent) / p.stride[axis] + 1;
}

bool fits(Conv2dAlgorithm algorithm, const Conv2dParams& p, const Shape& x, const Shape& weight) {
    const int64_t group_out = weight.n / p.groups;
    const bool whole_blocks =
        p.groups == 1 || (weight.c % kChannelBlock == 0 && group_out % kChannelBlock == 0);
    switch (algorithm) {
        case Conv2dAlgorithm::kDirect: return whole_blocks;
        case Conv2dAlgorithm::kGemm:
            return whole_blocks && weight.h == 1 && weight.w == 1 &&
                   p.stride == std::array<int64_t, 2>{1, 1} && p.padding == decltype(p.padding){};
        case Conv2dAlgorithm::kDepthwise:
            return weight.c == 1 && weight.n == p.groups && x.c == p.groups;
        default: return true;
    }
}

const char* algorithm_name(Conv2dAlgorithm algorithm) {
    switch (algorithm) {
        case Conv2dAlgorithm::kDirect: return "direct";
        case Conv2dAlgorithm::kGemm: return "gemm";
        case Conv2dAlgorithm::kDepthwise: return "depthwise";
        case Conv2dAlgorithm::kGrouped: return "grouped";
        default: return "auto";
    }
}

// How a layer is cut into units, from its geometry and the register tile alone.
void choose_units(Conv2dArgs& a, const cpu::Kernels::Conv2d& kernels, int64_t pixels) {
    constexpr int64_t kTilesPerUnit = 8;  // enough work to hide the unit's own cost
    const int64_t group_blocks = divide_round_up(a.y.shape.c / a.params.groups, kChannelBlock);
    a.unit_blocks = std::min(kernels.nr, group_blocks);
    while (group_blocks % a.unit_blocks != 0 && a.params.groups > 1) --a.unit_blocks;
    a.unit_pixels = std::min(pixels, kernels.mr * kTilesPerUnit);
    const int64_t weight_elems = a.packed->weights.size();
    a.weights_outer = weight_elems > a.x.shape.c * a.x.shape.h * a.x.shape.w;
}

}  // namespace

Shape conv2d_output_shape(const Conv2dParams& params, const Shape& x, const Shape& weight) {
    check_params(params);
    check_not_empty("conv2d", x);
    PYCNN_CHECK(weight.n > 0 && weight.c > 0 && weight.h > 0 && weight.w > 0, ShapeError,
                "conv2d: the weight ", to_string(weight), " is empty");
    PYCNN_CHECK(weight.h <= kMaxExtent / std::max(params.dilation[0], int64_t{1}) &&
                    weight.w <= kMaxExtent / std::max(params.dilation[1], int64_t{1}) &&
                    x.h <= kMaxExtent && x.w <= kMaxExtent,
                ShapeError, "conv2d: a height or width beyond 2^30");
    PYCNN_CHECK(weight.n % params.groups == 0, ShapeError, "conv2d: ", weight.n,
                " output channels do not divide into ", params.groups, " groups");
    PYCNN_CHECK(x.c == weight.c * params.groups, ShapeError, "conv2d: the input has ", x.c,
                " channels, the weight ", to_string(weight), " with groups=", params.groups,
                " expects ", weight.c * params.groups);
    return {x.n, weight.n, output_size(params, 0, x.h, weight.h),
            output_size(params, 1, x.w, weight.w)};
}

Conv2dAlgorithm conv2d_select(const Conv2dParams& params, const Shape& x, const Shape& weight) {
    if (params.algorithm != Conv2dAlgorithm::kAuto) {
        PYCNN_CHECK(fits(params.algorithm, params, x, weight), UnsupportedError,
                    "conv2d: the algorithm '", algorithm_name(params.algorithm),
                    "' cannot do weight ", to_string(weight), " with groups=", params.groups,
                    " and this stride and padding; leave algorithm='auto'");
        return params.algorithm;
    }
    for (auto algorithm :
         {Conv2dAlgorithm::kDepthwise, Conv2dAlgorithm::kGemm, Conv2dAlgorithm::kDirect}) {
        // A single channel in and out is a plain convolution, not a depthwise one.
        if (algorithm == Conv2dAlgorithm::kDepthwise && params.groups == 1) continue;
        if (fits(algorithm, params, x, weight)) return algorithm;
    }
    return Conv2dAlgorithm::kGrouped;
}

PackedConv2dPtr conv2d_pack(const float* weight, const Shape& shape, const float* bias) {
    const int64_t taps = shape.h * shape.w;
    const int64_t blocks = divide_round_up(shape.n, kChannelBlock);
    storage_elems({blocks * kChannelBlock, shape.c, shape.h, shape.w}, Layout::kNchw);  // overflow
    auto packed = std::make_shared<PackedConv2d>();
    packed->shape = shape;
    packed->weights = AlignedBuffer(blocks * taps * shape.c * kChannelBlock);
    packed->bias = AlignedBuffer(blocks * kChannelBlock);
    float* out = packed->weights.data();
    for (int64_t block = 0; block < blocks; ++block) {
        const int64_t first = block * kChannelBlock;
        const int64_t lanes = std::min(kChannelBlock, shape.n - first);
        for (int64_t tap = 0; tap < taps; ++tap) {
            for (int64_t c = 0; c < shape.c; ++c, out += kChannelBlock) {
                const float* in = weight + (first * shape.c + c) * taps + tap;
                for (int64_t lane = 0; lane < kChannelBlock; ++lane) {
                    out[lane] = lane < lanes ? in[lane * shape.c * taps] : 0.0f;
                }
            }
        }
        for (int64_t lane = 0; lane < kChannelBlock; ++lane) {
            packed->bias.data()[first + lane] = lane < lanes && bias ? bias[first + lane] : 0.0f;
        }
    }
    return packed;
}

TaskPtr conv2d_task(const Conv2dParams& params, const TensorRef& x, PackedConv2dPtr packed,
                    const std::optional<TensorRef>& residual, const TensorRef& y, Isa isa) {
    const Shape& weight = packed->shape;
    const Shape out = conv2d_output_shape(params, x.view.shape, weight);
    check_blocked("conv2d", "y", y);
    check_shape("conv2d", "y", y.view.shape, out);
    if (residual) {
        check_blocked("conv2d", "the residual", *residual);
        check_shape("conv2d", "the residual", residual->view.shape, out);
    }
    const Conv2dAlgorithm algorithm = conv2d_select(params, x.view.shape, weight);

    const cpu::Kernels::Conv2d& kernels = cpu::kernels(isa).conv2d;
    Conv2dArgs args;
    args.params = params;
    args.x = x.view;
    args.y = y.view;
    args.weights = packed->weights.data();
    args.bias = packed->bias.data();
    args.packed = std::move(packed);
    args.filter_h = weight.h;
    args.filter_w = weight.w;
    args.group_channels = weight.c;
    const int64_t blocks = channel_blocks(y.view);
    int64_t units = out.n * blocks * out.h;  // depthwise, grouped: a row of one block
    auto kernel = algorithm == Conv2dAlgorithm::kDepthwise ? kernels.depthwise : kernels.grouped;
    if (algorithm == Conv2dAlgorithm::kDirect || algorithm == Conv2dAlgorithm::kGemm) {
        const int64_t pixels = out.h * out.w;
        choose_units(args, kernels, pixels);
        units = out.n * divide_round_up(blocks, args.unit_blocks) *
                divide_round_up(pixels, args.unit_pixels);
        kernel = algorithm == Conv2dAlgorithm::kDirect ? kernels.direct : kernels.gemm;
    }
    const int64_t work = storage_elems(out, Layout::kNchw) * weight.c * weight.h * weight.w;
    auto task = std::make_unique<OpTask<Conv2dArgs>>(kernel, std::move(args), units, work);
    task->bind(&Conv2dArgs::x, x).bind(&Conv2dArgs::y, y);
    if (residual) task->bind(&Conv2dArgs::residual, *residual);
    return task;
}

}  // namespace pycnn::ops
