// Convolutions: every algorithm that can do a case, every tile of it, with and without a split.
#include <algorithm>
#include <cstring>

#include "cuda/kernels/conv2d_plan.h"
#include "cuda/kernels/conv2d_tiles.h"
#include "harness.h"

namespace pycnn::cuda::test {
namespace {

struct Case {
    const char* name;
    Shape x, weight;
    std::array<int64_t, 2> stride{1, 1};
    std::array<int64_t, 4> padding{0, 0, 0, 0};
    std::array<int64_t, 2> dilation{1, 1};
    int64_t groups = 1;
    bool x_nchw = false;
};

// Geometries of the networks, made small, and what is easily wrong: tails of each tile, strides
// beyond the filter, padding that differs per side, taps that share a vector's stage.
const Case kCases[] = {
    {"1x1", {2, 64, 7, 9}, {72, 64, 1, 1}},
    {"1x1 stride 2", {1, 40, 9, 8}, {24, 40, 1, 1}, {2, 2}},
    {"3x3", {2, 32, 9, 10}, {40, 32, 3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"3x3 stride 2", {1, 16, 11, 12}, {136, 16, 3, 3}, {2, 2}, {1, 1, 1, 1}},
    {"5x5", {1, 24, 7, 7}, {16, 24, 5, 5}, {1, 1}, {2, 2, 2, 2}},
    {"1x7", {1, 16, 5, 9}, {24, 16, 1, 7}, {1, 1}, {0, 0, 3, 3}},
    {"uneven padding", {1, 8, 6, 5}, {33, 8, 2, 3}, {1, 2}, {1, 0, 2, 1}},
    {"dilated", {1, 16, 12, 11}, {16, 16, 3, 3}, {1, 1}, {2, 3, 2, 1}, {2, 3}},
    {"stem 7x7 stride 2", {1, 3, 21, 20}, {24, 3, 7, 7}, {2, 2}, {3, 3, 3, 3}, {1, 1}, 1, true},
    {"stem 11x11 stride 4", {2, 3, 27, 31}, {16, 3, 11, 11}, {4, 4}, {0, 0, 0, 0}, {1, 1}, 1, true},
    {"stem 3x3", {1, 3, 8, 9}, {16, 3, 3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 1, true},
    {"stem of NHWC", {1, 3, 9, 8}, {8, 3, 5, 5}, {2, 2}, {2, 2, 2, 2}},
    {"lenet", {2, 1, 12, 12}, {6, 1, 5, 5}, {1, 1}, {2, 2, 2, 2}},
    {"odd channels", {1, 13, 6, 5}, {19, 13, 3, 3}, {1, 1}, {1, 1, 1, 1}},
    {"grouped", {1, 48, 7, 7}, {32, 24, 3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 2},
    {"odd groups", {1, 12, 6, 6}, {9, 4, 3, 3}, {1, 1}, {1, 0, 0, 1}, {1, 1}, 3},
    {"depthwise", {2, 40, 7, 8}, {40, 1, 3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}, 40},
    {"odd depthwise", {1, 13, 5, 6}, {13, 1, 3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}, 13},
    {"linear", {3, 200, 1, 1}, {10, 200, 1, 1}},
    {"linear of an image", {2, 16, 5, 4}, {40, 16, 5, 4}},
};

Plain as_multiplied(Plain values, DType dtype) {
    for (double& value : values.data) value = multiplied(static_cast<float>(value), dtype);
    return values;
}

// Where tensors of a case lie: in their own memory, or in slices of larger ones.
struct Places {
    Placement x, y, residual;
};
constexpr Places kDense{{0, 0}, {0, 0}, {0, 0}};
constexpr Places kSlices{{16, 8}, {8, 24}, {8, 0}};
constexpr Places kOddSlices{{16, 8}, {3, 2}, {1, 0}};

class Layer {
public:
    Layer(const Case& c, DType dtype, const Places& places, bool epilogue)
        : case_(c), dtype_(dtype), places_(places), epilogue_(epilogue) {
        Random random(7);
        params_.stride = c.stride;
        params_.padding = c.padding;
        params_.dilation = c.dilation;
        params_.groups = c.groups;
        params_.relu = epilogue;
        x_ = random.plain(c.x);
        weight_ = random.plain(c.weight);
        const auto size = [&](int axis, int64_t in, int64_t filter) {
            const int64_t padded = in + c.padding[2 * axis] + c.padding[2 * axis + 1];
            return (padded - c.dilation[axis] * (filter - 1) - 1) / c.stride[axis] + 1;
        };
        out_ = {c.x.n, c.weight.n, size(0, c.x.h, c.weight.h), size(1, c.x.w, c.weight.w)};
        bias_ = random.plain({1, c.weight.n, 1, 1});
        residual_ = rounded(random.plain(out_), dtype);
        scale_.resize(static_cast<size_t>(c.weight.n));
        for (double& s : scale_) s = 0.5 + random.below(3);  // exact in every dtype
        Plain scaled = weight_;
        reference::for_each(scaled.shape, [&](int64_t k, int64_t i, int64_t r, int64_t s) {
            scaled.at(k, i, r, s) *= scale_[static_cast<size_t>(k)];
        });
        expected_ = reference::conv2d(as_multiplied(x_, dtype), as_multiplied(scaled, dtype),
                                      epilogue ? &bias_ : nullptr, epilogue ? &residual_ : nullptr,
                                      params_);
    }

    ConvProblem problem() const {
        const Placed x(case_.x, dtype_, places_.x.before, places_.x.after);
        return {dtype_,       params_,      case_.x,
                case_.weight, case_.x_nchw, case_.x_nchw || is_aligned(x.tensor(), dtype_)};
    }

    void check(const ConvPlan& plan) const {
        const std::string what =
            std::string("conv2d ") + case_.name + " " + name(dtype_) + " " +
            algorithm_name(plan.algorithm) + " tile " + std::to_string(plan.tile) + " split " +
            std::to_string(plan.split_k) + " at " + std::to_string(places_.y.before);
        const std::vector<float> weight(weight_.data.begin(), weight_.data.end());
        const std::vector<float> bias(bias_.data.begin(), bias_.data.end());
        const std::vector<float> plain(x_.data.begin(), x_.data.end());
        const std::vector<std::byte> packed = conv2d_pack(plan, weight.data(), scale_.data());
        std::vector<std::byte> workspace(static_cast<size_t>(conv2d_workspace_bytes(plan)),
                                         std::byte{0xFF});
        Placed x(case_.x, dtype_, places_.x.before, places_.x.after);
        Placed y(out_, dtype_, places_.y.before, places_.y.after);
        Placed residual(out_, dtype_, places_.residual.before, places_.residual.after);
        x.fill(x_);
        residual.fill(residual_);
        ConvArgs args;
        args.plan = plan;
        args.x = case_.x_nchw ? static_cast<const void*>(plain.data()) : x.tensor().data;
        args.x_pitch = x.tensor().pitch;
        args.weights = packed.data();
        args.y = y.tensor();
        args.workspace = workspace.data();
        if (epilogue_) {
            args.bias = bias.data();
            args.residual = residual.tensor();
        }
        try {
            launch_conv2d(args, {});
        } catch (const std::exception& e) {
            report(false, what, e.what());
            return;
        }
        const Shape& w = case_.weight;
        compare(
            what, y.values(), expected_,
            sum_tolerance(dtype_, w.c * w.h * w.w, static_cast<int64_t>(expected_.data.size())));
        report(y.others_untouched(), what, "wrote beside its tensor");
    }

private:
    Case case_;
    DType dtype_;
    Places places_;
    bool epilogue_;
    ops::Conv2dParams params_;
    Plain x_, weight_, bias_, residual_, expected_;
    std::vector<double> scale_;
    Shape out_;
};

const Device kAmpere{8, 0, 108, 163 << 10}, kHopper{9, 0, 132, 227 << 10};

constexpr ConvAlgorithm kAlgorithms[kConvAlgorithms] = {
    ConvAlgorithm::kDirect, ConvAlgorithm::kDepthwise, ConvAlgorithm::kGemmSimt,
    ConvAlgorithm::kGemmMma, ConvAlgorithm::kGemmWgmma};

int check_all_plans(const Layer& layer, DType dtype) {
    int algorithms = 0;
    for (ConvAlgorithm algorithm : kAlgorithms) {
        ConvPlan plan;
        try {
            plan = conv2d_select(layer.problem(), kHopper, algorithm);
        } catch (const UnsupportedError&) {
            continue;
        }
        ++algorithms;
        const size_t tiles = std::max<size_t>(tiles_of(algorithm, dtype).size(), 1);
        for (size_t tile = 0; tile < tiles; ++tile) {
            plan.tile = static_cast<int>(tile);
            plan.split_k = 1;
            layer.check(plan);
        }
        // A split whose parts are uneven.
        const std::vector<Tile> table = tiles_of(algorithm, dtype);
        if (table.empty()) continue;
        const EffectiveConv conv = effective_conv(plan.problem, plan.packing);
        const int64_t stages =
            gemm_stages(algorithm, conv, plan.problem.params.groups, table[0].depth);
        for (int64_t split : {2, 3}) {
            if (split > stages || !splits(stages, split)) continue;
            plan.tile = static_cast<int>(tiles) - 1;
            plan.split_k = static_cast<int>(split);
            layer.check(plan);
        }
    }
    return algorithms;
}

void test_cases() {
    for (DType dtype : {DType::kFloat32, DType::kTf32, DType::kFloat16, DType::kBfloat16}) {
        for (const Case& c : kCases) {
            const Layer layer(c, dtype, kDense, true);
            in_both_orders([&] {
                const int algorithms = check_all_plans(layer, dtype);
                report(algorithms >= 1, c.name, "no algorithm can do it");
            });
        }
    }
}

void test_places() {
    for (DType dtype : {DType::kFloat32, DType::kFloat16}) {
        for (const Case& c : kCases) {
            check_all_plans(Layer(c, dtype, kSlices, true), dtype);
            check_all_plans(Layer(c, dtype, kOddSlices, false), dtype);
        }
    }
}

// --- the choice ---

ConvProblem layer(DType dtype, int64_t n, int64_t c, int64_t size, int64_t k, int64_t filter,
                  int64_t stride = 1) {
    ConvProblem problem;
    problem.dtype = dtype;
    problem.x = {n, c, size, size};
    problem.weight = {k, c, filter, filter};
    problem.params.stride = {stride, stride};
    const int64_t padding = filter / 2;
    problem.params.padding = {padding, padding, padding, padding};
    return problem;
}

void test_select() {
    const auto check = [](bool ok, const char* what) { report(ok, "conv2d_select", what); };
    const ConvProblem half = layer(DType::kFloat16, 32, 256, 14, 256, 3);
    check(conv2d_select(half, kHopper).algorithm == ConvAlgorithm::kGemmWgmma, "Hopper has wgmma");
    check(conv2d_select(half, kAmpere).algorithm == ConvAlgorithm::kGemmMma, "Ampere has none");
    const Device blackwell{10, 0, 148, 227 << 10};
    check(conv2d_select(half, blackwell).algorithm == ConvAlgorithm::kGemmMma,
          "wgmma is Hopper's alone");
    check(conv2d_select(layer(DType::kFloat32, 32, 256, 14, 256, 3), kHopper).algorithm ==
              ConvAlgorithm::kGemmSimt,
          "float32 is strict");

    ConvProblem stem = layer(DType::kFloat16, 8, 3, 224, 64, 7, 2);
    stem.x_nchw = true;
    const ConvPlan plan = conv2d_select(stem, kHopper);
    const EffectiveConv conv = effective_conv(stem, plan.packing);
    check(plan.packing.fold == 2 && conv.weight == Shape{64, 16, 4, 4} &&
              conv.x == Shape{8, 16, 112, 112} && conv.p == 112,
          "the stem becomes 4x4 on 12 channels, padded to 16");
    check(plan.algorithm == ConvAlgorithm::kGemmMma, "wgmma would multiply zeros for the stem");
    check(conv2d_workspace_bytes(plan) >= 8 * 16 * 112 * 112 * 2, "the folded input has no room");

    ConvProblem pointwise = layer(DType::kFloat16, 8, 64, 56, 256, 1);
    const auto geometry = [&] {
        return effective_conv(pointwise, conv2d_select(pointwise, kHopper).packing);
    };
    check(geometry().x == Shape{1, 64, 1, 8 * 56 * 56} && geometry().q == 8 * 56 * 56,
          "1x1 is a plain product");
    pointwise.params.padding = {0, 0, 0, 1};
    check(geometry().x == pointwise.x && geometry().q == 57, "1x1 with padding is none");

    // The last layers of ResNet-50 at batch 1 have fewer tiles than the machine has processors.
    check(conv2d_select(layer(DType::kFloat16, 1, 512, 7, 512, 3), kHopper).split_k > 1,
          "a small layer is split");
    check(conv2d_select(layer(DType::kFloat16, 256, 64, 56, 64, 3), kHopper).split_k == 1,
          "a large layer is not");

    for (const Device& device : {kAmpere, kHopper}) {
        for (DType dtype : {DType::kFloat32, DType::kTf32, DType::kFloat16}) {
            for (int64_t c : {64, 512, 2048}) {
                const ConvPlan one = conv2d_select(layer(dtype, 1, c, 14, 256, 3), device);
                const ConvPlan many = conv2d_select(layer(dtype, 64, c, 14, 256, 3), device);
                check(one.packing == many.packing, "weights depend on the batch");
                const Tile tile = tiles_of(one.algorithm, dtype)[static_cast<size_t>(one.tile)];
                const int64_t stages = gemm_stages(
                    one.algorithm, effective_conv(one.problem, one.packing), 1, tile.depth);
                check(splits(stages, one.split_k), "a part of a split is empty");
                const int64_t partial = one.split_k > 1 ? one.split_k * 14 * 14 * 256 * 4 : 0;
                check(conv2d_workspace_bytes(one) == partial, "workspace");
            }
        }
    }
    ConvProblem grouped_plain = layer(DType::kFloat16, 1, 4, 8, 4, 3);
    grouped_plain.params.groups = 2;
    grouped_plain.weight.c = 2;
    grouped_plain.x_nchw = true;
    expect_failure("conv2d_select", "change its layout first",
                   [&] { conv2d_select(grouped_plain, kHopper); });
    expect_failure("conv2d_select", "gemm_wgmma cannot do this",
                   [&] { conv2d_select(half, kAmpere, ConvAlgorithm::kGemmWgmma); });
    expect_failure("conv2d_select", "gemm_simt cannot do this",
                   [&] { conv2d_select(half, kHopper, ConvAlgorithm::kGemmSimt); });
    for (const Shape& x :
         {Shape{1 << 20, 64, 224, 224}, Shape{1, 64, 1, (int64_t{1} << 31) - 128}}) {
        ConvProblem large = half;
        large.x = x;
        large.weight.c = 64;
        expect_failure("conv2d_select", "use a smaller batch",
                       [&] { conv2d_select(large, kHopper); });
    }
}

// A persistent block that computes many tiles: fewer blocks than work.
void test_few_blocks() {
    const Case c{"few blocks", {2, 64, 20, 20}, {136, 64, 3, 3}, {1, 1}, {1, 1, 1, 1}};
    const Layer tested(c, DType::kFloat16, kDense, true);
    Device small = kHopper;
    small.sm_count = 2;
    in_both_orders([&] {
        ConvPlan plan = conv2d_select(tested.problem(), small, ConvAlgorithm::kGemmWgmma);
        plan.tile = static_cast<int>(std::size(kWgmmaTiles)) - 1;
        for (int split : {1, 2}) {
            plan.split_k = split;
            tested.check(plan);
        }
    });
}

}  // namespace

void test_conv2d() {
    test_select();
    test_cases();
    test_places();
    test_few_blocks();
}

}  // namespace pycnn::cuda::test
