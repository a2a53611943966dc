#include "ops/conv2d.h"

#include <algorithm>
#include <vector>

#include "core/pages.h"
#include "core/thread_pool.h"
#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {
namespace {

constexpr const char* kAxis[2] = {"height", "width"};

// Larger maps stand at the beginning of a network, and all that follows amplifies their errors:
// with F(5,3) or F(6,3) on all maps, up to 10 % faster, VGG-19's logits were 1.8e-4 of the largest
// off, on those of 56 x 56 and less 1.0e-4 for throughput; so 0.5e-4.
constexpr int64_t kMaxLargeTilePixels = 32 * 32;

constexpr int64_t kMaxStemChannels = 8;
constexpr int64_t kStemRows =
    4;  // output rows of a unit: the copy of their input stays in L1 or L2

// Beyond this, products of sizes could overflow; no image or filter comes near.
constexpr int64_t kMaxExtent = int64_t{1} << 30;

void check_params(const Conv2dParams& p) {
    PYCNN_CHECK(p.groups >= 1, ShapeError, "conv2d: groups must be at least 1, got ", p.groups);
    for (int i = 0; i < 2; ++i) {
        PYCNN_CHECK(p.stride[i] >= 1 && p.stride[i] <= kMaxExtent, ShapeError,
                    "conv2d: stride must be 1..2^30, got ", p.stride[i]);
        PYCNN_CHECK(p.dilation[i] >= 1 && p.dilation[i] <= kMaxExtent, ShapeError,
                    "conv2d: dilation must be 1..2^30, got ", p.dilation[i]);
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

// (N,K,P,Q), before max-pooling.
Shape sums_shape(const Conv2dParams& params, const Shape& x, const Shape& weight) {
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
    const Shape out{x.n, weight.n, output_size(params, 0, x.h, weight.h),
                    output_size(params, 1, x.w, weight.w)};
    storage_elems(out, Layout::kNchw16c);  // overflow
    return out;
}

bool fits(Conv2dAlgorithm algorithm, const Conv2dParams& p, const Shape& x, const Shape& weight) {
    if (p.max_pool && !can_max_pool(algorithm)) return false;
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
        case Conv2dAlgorithm::kStem:
            return p.groups == 1 && weight.c <= kMaxStemChannels && p.stride[1] <= 4 &&
                   p.stride[1] != 3 && p.dilation == std::array<int64_t, 2>{1, 1};
        case Conv2dAlgorithm::kGrouped: return true;
        default: {
            const WinogradForm& form = conv2d_info(algorithm).winograd;
            const bool channels =
                conv2d_info(algorithm).transformed_weights || weight.c % kChannelBlock == 0;
            return whole_blocks && channels && weight.h == form.filter && weight.w == form.filter &&
                   p.stride == std::array<int64_t, 2>{form.stride, form.stride} &&
                   p.dilation == std::array<int64_t, 2>{1, 1};
        }
    }
}

// The cost model, in cycles of two cores, fitted to measurements on Zen 4 (docs/performance.md).
// Only the ratios count, and they are much the same on other machines: an instruction set of half
// the width mostly has twice as many units.
struct Cost {
    double compute = 0, weight_bytes = 0;

    double cycles(Optimize optimize) const {
        constexpr double kBytesPerCycle = 8;  // weights that no cache holds
        constexpr double kNotHidden = 0.25;   // of the shorter of the two
        if (optimize == Optimize::kThroughput) return compute;
        const double memory = weight_bytes / kBytesPerCycle;
        return std::max(compute, memory) + kNotHidden * std::min(compute, memory);
    }
};

Cost direct_cost(const Shape& out, const Shape& weight) {
    constexpr double kMacsPerCycle = 2 * 16 * 0.93;
    const double weights = static_cast<double>(weight.n) * weight.c * weight.h * weight.w;
    return {weights * out.h * out.w / kMacsPerCycle, 4 * weights};
}

constexpr double kMacsPerWinogradCycle = 2 * 16 * 0.95;
Cost winograd_cost(const Conv2dAlgorithmInfo& info, int64_t groups, const Shape& out,
                   const Shape& weight) {
    constexpr double kInputCycles = 9, kOutputCycles = 8;  // a point of a tile, 16 channels, 1 core
    constexpr double kFilterCycles = 3;                    // a point of 16 filters, 1 core
    const WinogradForm& form = info.winograd;
    const double points = form.products() * form.products();
    const double tiles = divide_round_up(out.h, form.output) * divide_round_up(out.w, form.output);
    const double weights = points * weight.n * weight.c;
    const double in_blocks = groups * divide_round_up(weight.c, kChannelBlock);
    const double out_blocks = divide_round_up(weight.n, kChannelBlock);
    // Where all tiles are one block each core transforms the whole input.
    const double input_cores = tiles <= kWinogradTilesPerBlock ? 1 : 2;
    Cost cost{weights * tiles / kMacsPerWinogradCycle +
                  points * tiles *
                      (in_blocks * kInputCycles / input_cores + out_blocks * kOutputCycles / 2),
              4 * weights};
    if (!info.transformed_weights) {
        const double blocks = divide_round_up(static_cast<int64_t>(tiles), kWinogradTilesPerBlock);
        cost.compute += weights / kChannelBlock * kFilterCycles / 2 * blocks;
        cost.weight_bytes *= form.filter * form.filter / points;
    }
    return cost;
}

// The fastest of Winograd's algorithms, or kAuto where none is faster than plain sums. A form of
// larger errors and larger weights must gain 3 % over the one before, 6 % over plain sums: what
// the model gave less ran no faster in a network, with nine times the weights to pack and keep.
Conv2dAlgorithm fastest_winograd(const Conv2dParams& params, const Shape& x, const Shape& weight,
                                 Optimize optimize) {
    const Shape out = sums_shape(params, x, weight);
    double best_cycles = direct_cost(out, weight).cycles(optimize);
    Conv2dAlgorithm best = Conv2dAlgorithm::kAuto;
    for (const Conv2dAlgorithmInfo& info : kConv2dAlgorithms) {
        if (!is_winograd(info.algorithm) || !fits(info.algorithm, params, x, weight)) continue;
        if (info.winograd.output > 4 && out.h * out.w > kMaxLargeTilePixels) continue;
        const double cycles = winograd_cost(info, params.groups, out, weight).cycles(optimize);
        if (cycles < (best == Conv2dAlgorithm::kAuto ? 0.94 : 0.97) * best_cycles) {
            best_cycles = cycles;
            best = info.algorithm;
        }
    }
    return best;
}

WinogradBlocks cut_into_blocks(const Conv2dAlgorithmInfo& info, int64_t groups, const Shape& out,
                               const Shape& weight) {
    const WinogradForm& form = info.winograd;
    WinogradBlocks cut;
    const int64_t points = form.products() * form.products();
    const int64_t in_blocks = divide_round_up(weight.c, kChannelBlock);
    cut.tiles = out.n * divide_round_up(out.h, form.output) * divide_round_up(out.w, form.output);
    cut.group_out_blocks = divide_round_up(weight.n / groups, kChannelBlock);
    cut.count = divide_round_up(cut.tiles, kWinogradTilesPerBlock);
    const int64_t largest = divide_round_up(cut.tiles, cut.count);
    // An odd number of cache lines apart, so that the points of a tile lie in different sets.
    const auto odd_lines = [](int64_t elems) {
        const int64_t lines = divide_round_up(elems, kChannelBlock);
        return (lines | 1) * kChannelBlock;
    };
    cut.v_stride = odd_lines(in_blocks * largest * kChannelBlock);
    cut.m_stride = odd_lines(largest * kChannelBlock);
    cut.workspace_elems = points * (cut.v_stride + cut.m_stride);
    if (!info.transformed_weights) {  // U of two rows of points, 16 input and 16 output channels
        cut.workspace_elems += 2 * form.products() * kChannelBlock * kChannelBlock;
    }
    return cut;
}

// How a layer is cut into units and in which order they come. No sum depends on it, so that it may
// depend on the batch.
void choose_units(Conv2dArgs& a, const cpu::Kernels::Conv2d& kernels, int64_t pixels) {
    constexpr int64_t kTilesPerUnit = 8;  // enough work to hide the unit's own cost
    const int64_t group_blocks = divide_round_up(a.y.shape.c / a.params.groups, kChannelBlock);
    a.unit_blocks = std::min(kernels.nr, group_blocks);
    while (group_blocks % a.unit_blocks != 0 && a.params.groups > 1) --a.unit_blocks;
    const int64_t tiles = divide_round_up(pixels, kernels.mr);
    const int64_t strips = divide_round_up(tiles, kTilesPerUnit);
    a.unit_pixels = std::min(pixels, kernels.mr * divide_round_up(tiles, strips));
    // For each panel of weights all pixels of the batch are read again: a cache must hold them.
    constexpr int64_t kMaxBatchElems = 8 * 1024 * 1024 / 4;
    const int64_t image_elems = a.x.shape.c * a.x.shape.h * a.x.shape.w;
    a.weights_outer =
        a.packed->weights.size() > image_elems && a.x.shape.n * image_elems <= kMaxBatchElems;
}

}  // namespace

Shape conv2d_output_shape(const Conv2dParams& params, const Shape& x, const Shape& weight) {
    Shape out = sums_shape(params, x, weight);
    if (params.max_pool) {
        PYCNN_CHECK(out.h % 2 == 0 && out.w % 2 == 0, ShapeError, "conv2d: the output ",
                    to_string(out), " cannot be max-pooled by 2x2: its sides must be even");
        out.h /= 2;
        out.w /= 2;
    }
    return out;
}

Conv2dAlgorithm conv2d_select(const Conv2dParams& params, const Shape& x, const Shape& weight,
                              Optimize optimize, bool winograd) {
    if (params.algorithm != Conv2dAlgorithm::kAuto) {
        PYCNN_CHECK(fits(params.algorithm, params, x, weight), UnsupportedError,
                    "conv2d: the algorithm '", conv2d_info(params.algorithm).name,
                    "' cannot do weight ", to_string(weight), " with groups=", params.groups,
                    " and this stride and padding; leave algorithm='auto'");
        return params.algorithm;
    }
    if (winograd) {
        const Conv2dAlgorithm best = fastest_winograd(params, x, weight, optimize);
        if (best != Conv2dAlgorithm::kAuto) return best;
    }
    for (auto algorithm : {Conv2dAlgorithm::kDepthwise, Conv2dAlgorithm::kGemm,
                           Conv2dAlgorithm::kStem, Conv2dAlgorithm::kDirect}) {
        // A single channel in and out is a plain convolution, not a depthwise one.
        if (algorithm == Conv2dAlgorithm::kDepthwise && params.groups == 1) continue;
        if (fits(algorithm, params, x, weight)) return algorithm;
    }
    PYCNN_CHECK(fits(Conv2dAlgorithm::kGrouped, params, x, weight), UnsupportedError,
                "conv2d: no algorithm max-pools the sums of weight ", to_string(weight),
                " with groups=", params.groups);
    return Conv2dAlgorithm::kGrouped;
}

namespace {

// Products per weight of one input and one output channel.
int64_t packed_points(const Shape& shape, Conv2dAlgorithm algorithm) {
    const int64_t products = conv2d_info(algorithm).winograd.products();
    return conv2d_info(algorithm).transformed_weights ? products * products : shape.h * shape.w;
}

}  // namespace

int64_t conv2d_packed_bytes(const Shape& shape, Conv2dAlgorithm algorithm) {
    const int64_t channels = divide_round_up(shape.n, kChannelBlock) * kChannelBlock;
    return 4 *
           (storage_elems({channels, shape.c, packed_points(shape, algorithm), 1}, Layout::kNchw) +
            channels);
}

PackedConv2dPtr conv2d_pack(const float* weight, const Shape& shape, const float* bias,
                            const Conv2dPacking& packing) {
    const Conv2dAlgorithm algorithm = packing.algorithm;
    conv2d_packed_bytes(shape, algorithm);  // overflow
    const int64_t blocks = divide_round_up(shape.n, kChannelBlock);
    const int64_t block_elems = packed_points(shape, algorithm) * shape.c * kChannelBlock;
    auto packed = std::make_shared<PackedConv2d>();
    packed->shape = shape;
    packed->packing = conv2d_packing(algorithm);
    packed->weights = AlignedBuffer(blocks * block_elems);
    packed->bias = AlignedBuffer(blocks * kChannelBlock);
    PackConv2dArgs args;
    args.weight = weight;
    args.filters = shape.n;
    args.channels = shape.c;
    args.taps = shape.h * shape.w;
    args.part_channels = packed->packing == Conv2dAlgorithm::kDirect ? shape.c : kChannelBlock;
    args.scale = packing.scale;
    std::vector<double> transform;
    if (conv2d_info(algorithm).transformed_weights) {
        const WinogradForm& form = conv2d_info(algorithm).winograd;
        transform = winograd_filter_transform(form);
        args.transform = transform.data();
        args.products = form.products();
        args.filter = form.filter;
    }
    args.out = packed->weights.data();
    args.block_elems = block_elems;
    const int64_t filter_elems = args.channels * args.taps;
    constexpr int64_t kLargeBlockElems = 1 << 16;
    // Whatever set the layer will run on: packed weights are the same for all.
    const auto pack = cpu::kernels(active_isa()).pack_conv2d;
    run_team(packing.threads > 0 ? packing.threads : default_num_threads(), [&](Team& team) {
        for (int64_t block = team.index(); block < blocks; block += team.size()) {
            pack(args, block, block + 1);
            // The filters of large blocks at once, so that a large layer is not in memory twice.
            if (packing.let_go && filter_elems * kChannelBlock >= kLargeBlockElems) {
                const int64_t k = block * kChannelBlock;
                let_go_of_mapped_pages(
                    weight + k * filter_elems,
                    weight + std::min(k + kChannelBlock, shape.n) * filter_elems);
            }
        }
    });
    if (packing.let_go) let_go_of_mapped_pages(weight, weight + shape.n * filter_elems);
    for (int64_t k = 0; k < blocks * kChannelBlock; ++k) {
        packed->bias.data()[k] = k < shape.n && bias ? bias[k] : 0.0f;
    }
    return packed;
}

int64_t conv2d_workspace_elems(const Conv2dParams& params, const Shape& x, const Shape& weight) {
    const Shape out = sums_shape(params, x, weight);
    const Conv2dAlgorithm algorithm = conv2d_select(params, x, weight);
    if (algorithm == Conv2dAlgorithm::kStem) {
        const int64_t rows = (std::min(kStemRows, out.h) - 1) * params.stride[0] + weight.h;
        const int64_t width = params.padding[2] + x.w + params.padding[3];
        const int64_t elems = storage_elems({1, rows, x.c, width}, Layout::kNchw);  // overflow
        return divide_round_up(elems, kChannelBlock) * kChannelBlock;
    }
    if (!is_winograd(algorithm)) return 0;
    return cut_into_blocks(conv2d_info(algorithm), params.groups, out, weight).workspace_elems;
}

TaskPtr conv2d_task(const Conv2dParams& params, const TensorRef& x, PackedConv2dPtr packed,
                    const std::optional<TensorRef>& residual, const TensorRef& y, Isa isa) {
    const Shape& weight = packed->shape;
    const Shape out = sums_shape(params, x.view.shape, weight);
    check_blocked("conv2d", "y", y);
    check_shape("conv2d", "y", y.view.shape, conv2d_output_shape(params, x.view.shape, weight));
    PYCNN_CHECK(!params.max_pool || !residual, UnsupportedError,
                "conv2d: max-pooling with a residual");
    if (residual) {
        check_blocked("conv2d", "the residual", *residual);
        check_shape("conv2d", "the residual", residual->view.shape, out);
    }
    const Conv2dAlgorithm algorithm = conv2d_select(params, x.view.shape, weight);
    PYCNN_CHECK(packed->packing == conv2d_packing(algorithm), Error,
                "conv2d: the weights are packed for the algorithm '",
                conv2d_info(packed->packing).name, "', not for '", conv2d_info(algorithm).name,
                "'");

    const cpu::Kernels::Conv2d& kernels = cpu::kernels(isa).conv2d;
    Conv2dArgs args;
    args.params = params;
    args.x = x.view;
    args.y = y.view;
    args.out_h = out.h;
    args.out_w = out.w;
    args.weights = packed->weights.data();
    args.bias = packed->bias.data();
    args.packed = std::move(packed);
    args.filter_h = weight.h;
    args.filter_w = weight.w;
    args.group_channels = weight.c;
    const int64_t blocks = channel_blocks(y.view);
    int64_t units = out.n * blocks * out.h;  // depthwise, grouped: a row of one block
    auto kernel = algorithm == Conv2dAlgorithm::kDepthwise ? kernels.depthwise : kernels.grouped;
    if (is_winograd(algorithm)) {
        const WinogradBlocks& cut = args.winograd =
            cut_into_blocks(conv2d_info(algorithm), params.groups, out, weight);
        units = params.groups * cut.count * cut.group_out_blocks;
        const auto behind = [&](Conv2dAlgorithm first) {
            return static_cast<int>(algorithm) - static_cast<int>(first);
        };
        kernel = conv2d_info(algorithm).transformed_weights
                     ? kernels.winograd[behind(Conv2dAlgorithm::kWinogradF2x2_3x3)]
                     : kernels.winograd_plain[behind(Conv2dAlgorithm::kWinogradF4x4_3x3_Plain)];
    } else if (algorithm == Conv2dAlgorithm::kStem) {
        args.unit_rows = std::min(kStemRows, out.h);
        units = out.n * divide_round_up(out.h, args.unit_rows);
        kernel = kernels.stem;
    } else if (algorithm == Conv2dAlgorithm::kDirect || algorithm == Conv2dAlgorithm::kGemm) {
        const int64_t pixels = out.h * out.w;
        choose_units(args, kernels, pixels);
        units = out.n * divide_round_up(blocks, args.unit_blocks) *
                divide_round_up(pixels, args.unit_pixels);
        kernel = algorithm == Conv2dAlgorithm::kDirect ? kernels.direct : kernels.gemm;
    }
    const int64_t workspace = conv2d_workspace_elems(params, x.view.shape, weight);
    // Multiplications that are done, so that tasks of one stage can be weighed against each other.
    const int64_t work =
        is_winograd(algorithm)
            ? static_cast<int64_t>(
                  out.n * kMacsPerWinogradCycle *
                  winograd_cost(conv2d_info(algorithm), params.groups, out, weight).compute)
            : storage_elems(out, Layout::kNchw) * weight.c * weight.h * weight.w;
    auto task = std::make_unique<OpTask<Conv2dArgs>>(kernel, std::move(args), units, work);
    task->bind(&Conv2dArgs::x, x).bind(&Conv2dArgs::y, y);
    if (residual) task->bind(&Conv2dArgs::residual, *residual);
    task->needs_workspace(workspace);
    return task;
}

}  // namespace pycnn::ops
