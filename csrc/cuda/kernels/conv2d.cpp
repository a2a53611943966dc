// Everything about a convolution that is decided on the host: the algorithm, the tile, the form of
// the weights. Pure functions.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "cuda/half.h"
#include "cuda/kernels/conv2d_plan.h"
#include "cuda/kernels/conv2d_tiles.h"
#include "cuda/kernels/conv2d_wgmma.h"

namespace pycnn::cuda {
namespace {

constexpr int64_t kMaxSplit = 32;
constexpr int64_t kWorkspaceAlignment = 256;
// Beyond this a folded pixel would be mostly other pixels' filter taps that are zero.
constexpr int64_t kMaxFoldedChannels = 64;

int64_t round_up(int64_t value, int64_t multiple) {
    return divide_round_up(value, multiple) * multiple;
}

int64_t output_size(const ops::Conv2dParams& p, int axis, int64_t size, int64_t filter) {
    const int64_t padded = size + p.padding[2 * axis] + p.padding[2 * axis + 1];
    return (padded - p.dilation[axis] * (filter - 1) - 1) / p.stride[axis] + 1;
}

bool is_depthwise(const ConvProblem& problem) {
    const Shape& w = problem.weight;
    return w.c == 1 && w.n == problem.params.groups && problem.x.c == w.n && w.n > 1;
}

// Whether the GEMMs, which read whole vectors of channels, can read x where it lies.
bool reads_in_place(const ConvProblem& problem) {
    return !problem.x_nchw && problem.aligned &&
           problem.weight.c % vector_elems(problem.dtype) == 0;
}

int64_t fold_of(const ConvProblem& problem) {
    const ops::Conv2dParams& p = problem.params;
    const int64_t stride = p.stride[0];
    const bool to_depth = stride > 1 && p.stride[1] == stride &&
                          p.dilation == std::array<int64_t, 2>{1, 1} &&
                          std::min(problem.weight.h, problem.weight.w) > 1 &&
                          problem.weight.c * stride * stride <= kMaxFoldedChannels;
    return to_depth ? stride : 1;
}

ConvPacking gemm_packing(const ConvProblem& problem) {
    return {problem.dtype, false, reads_in_place(problem) ? 0 : fold_of(problem)};
}

bool fits(ConvAlgorithm algorithm, const ConvProblem& problem, const Device& device) {
    const bool gemm = reads_in_place(problem) || problem.params.groups == 1;
    switch (algorithm) {
        case ConvAlgorithm::kDirect: return !problem.x_nchw;
        case ConvAlgorithm::kDepthwise: return is_depthwise(problem) && !problem.x_nchw;
        case ConvAlgorithm::kGemmSimt: return gemm && problem.dtype == DType::kFloat32;
        case ConvAlgorithm::kGemmMma:
            return gemm && problem.dtype != DType::kFloat32 && device.major >= 8;
        case ConvAlgorithm::kGemmWgmma:
            return gemm && problem.dtype != DType::kFloat32 && device.major == 9 &&
                   device.minor == 0 &&
                   wgmma_fits(problem.dtype, effective_conv(problem, gemm_packing(problem)),
                              problem.params.groups);
    }
    return false;
}

// The best of those that fit; the tensor cores' order is that of their rates.
ConvAlgorithm choose_algorithm(const ConvProblem& problem, const Device& device) {
    for (ConvAlgorithm algorithm : {ConvAlgorithm::kDepthwise, ConvAlgorithm::kGemmWgmma,
                                    ConvAlgorithm::kGemmMma, ConvAlgorithm::kGemmSimt}) {
        if (fits(algorithm, problem, device)) return algorithm;
    }
    return ConvAlgorithm::kDirect;
}

bool is_gemm(ConvAlgorithm algorithm) {
    return algorithm != ConvAlgorithm::kDirect && algorithm != ConvAlgorithm::kDepthwise;
}

// Cycles, roughly. Estimates, as the tiles' efficiencies: only their order matters.
struct CostModel {
    double products_per_cycle;              // of one multiprocessor
    double bytes_per_cycle = 32;            // from L2 to one multiprocessor
    double block_cycles = 1500;             // to begin and to end a block
    double reduction_cycles = 4000;         // to begin and to end the kernel that adds the parts
    double reduction_bytes_per_cycle = 16;  // of one multiprocessor
};

CostModel cost_model(ConvAlgorithm algorithm, DType dtype) {
    const double half = storage_bytes(dtype) == 2 ? 1 : 0.5;
    switch (algorithm) {
        case ConvAlgorithm::kGemmMma: return {1024 * half};
        case ConvAlgorithm::kGemmWgmma: return {2048 * half};
        default: return {128};
    }
}

// Chooses the tile and the split that should take least time: few large tiles use the multipliers
// best, many small ones use all multiprocessors.
void choose_tile(ConvPlan& plan, const EffectiveConv& conv) {
    const int64_t groups = plan.problem.params.groups;
    const int64_t gemm_m = conv.x.n * conv.p * conv.q, k = conv.weight.n / groups;
    const CostModel model = cost_model(plan.algorithm, plan.problem.dtype);
    const std::vector<Tile> tiles = tiles_of(plan.algorithm, plan.problem.dtype);
    double best = INFINITY;
    for (size_t i = 0; i < tiles.size(); ++i) {
        const Tile& tile = tiles[i];
        const int64_t blocks =
            divide_round_up(gemm_m, tile.block_m) * divide_round_up(k, tile.block_n) * groups;
        const int64_t stages = gemm_stages(plan.algorithm, conv, groups, tile.depth);
        for (int64_t split = 1; split <= std::min(kMaxSplit, stages); ++split) {
            if (!splits(stages, split)) continue;
            if (split > 1 && blocks * (split - 1) >= plan.sm_count) break;
            const double depth = static_cast<double>(stages_per_part(stages, split) * tile.depth);
            const double products = depth * tile.block_m * tile.block_n;
            const double bytes = depth * (tile.block_m + tile.block_n) *
                                 static_cast<double>(storage_bytes(plan.problem.dtype));
            const double block = model.block_cycles +
                                 std::max(products / (model.products_per_cycle * tile.efficiency),
                                          bytes / model.bytes_per_cycle);
            double cycles =
                static_cast<double>(divide_round_up(blocks * split, plan.sm_count)) * block;
            if (split > 1) {
                const double traffic =
                    4.0 * static_cast<double>(gemm_m * k * groups) * static_cast<double>(2 * split);
                cycles += model.reduction_cycles +
                          traffic / (model.reduction_bytes_per_cycle * plan.sm_count);
            }
            if (cycles < best) {
                best = cycles;
                plan.tile = static_cast<int>(i);
                plan.split_k = static_cast<int>(split);
            }
        }
    }
}

void put(std::byte* to, float value, DType dtype) {
    const auto copy = [&](const auto& bits) { std::memcpy(to, &bits, sizeof bits); };
    switch (dtype) {
        case DType::kFloat32: return copy(value);
        case DType::kTf32: return copy(round_to_tf32(value));
        case DType::kFloat16: return copy(float_to_float16(value));
        case DType::kBfloat16: return copy(float_to_bfloat16(value));
    }
}

}  // namespace

const char* algorithm_name(ConvAlgorithm algorithm) {
    constexpr const char* kNames[kConvAlgorithms] = {"direct", "depthwise", "gemm_simt", "gemm_mma",
                                                     "gemm_wgmma"};
    return kNames[static_cast<int>(algorithm)];
}

std::vector<Tile> tiles_of(ConvAlgorithm algorithm, DType dtype) {
    std::vector<Tile> tiles;
    const int elem = static_cast<int>(storage_bytes(dtype));
    if (algorithm == ConvAlgorithm::kGemmSimt) {
        for (const SimtTile& t : kSimtTiles) {
            tiles.push_back({t.block_m, t.block_n, kSimtDepth, t.efficiency});
        }
    } else if (algorithm == ConvAlgorithm::kGemmMma) {
        for (const MmaTile& t : kMmaTiles) {
            tiles.push_back({t.block_m, t.block_n, kStageRowBytes / elem, t.efficiency});
        }
    } else if (algorithm == ConvAlgorithm::kGemmWgmma) {
        for (const WgmmaTile& t : kWgmmaTiles) {
            tiles.push_back({kWgmmaBlockM, t.block_n, kWgmmaRowBytes / elem, t.efficiency});
        }
    }
    return tiles;
}

EffectiveConv effective_conv(const ConvProblem& problem, const ConvPacking& packing) {
    const ops::Conv2dParams& p = problem.params;
    EffectiveConv conv{problem.x,
                       problem.weight,
                       p.stride,
                       p.dilation,
                       {p.padding[0], p.padding[2]},
                       output_size(p, 0, problem.x.h, problem.weight.h),
                       output_size(p, 1, problem.x.w, problem.weight.w),
                       {0, 0}};
    if (packing.fold == 0) {
        // A 1x1 convolution is a plain product of matrices: all pixels lie in one row.
        const bool is_product = problem.weight.h == 1 && problem.weight.w == 1 &&
                                p.stride == std::array<int64_t, 2>{1, 1} &&
                                p.padding == std::array<int64_t, 4>{0, 0, 0, 0};
        if (!is_product) return conv;
        conv.q = problem.x.n * problem.x.h * problem.x.w;
        conv.p = 1;
        conv.x = {1, problem.x.c, 1, conv.q};
        return conv;
    }
    const int64_t f = packing.fold;
    conv.x.c = conv.weight.c = round_up(problem.x.c * f * f, vector_elems(problem.dtype));
    if (f == 1) return conv;
    // x[p f - pad + r] with r = r' f + d - shift is x[(p - pad' + r') f + d], where pad' f is the
    // padding with `shift` more.
    const auto fold = [&](int axis, int64_t out, int64_t& size, int64_t& filter) {
        const int64_t padding = divide_round_up(conv.padding[axis], f);
        conv.shift[axis] = padding * f - conv.padding[axis];
        conv.padding[axis] = padding;
        conv.stride[axis] = 1;
        filter = divide_round_up(filter + conv.shift[axis], f);
        size = std::min(divide_round_up(size, f), out - 1 + filter - padding);  // what is read
    };
    fold(0, conv.p, conv.x.h, conv.weight.h);
    fold(1, conv.q, conv.x.w, conv.weight.w);
    return conv;
}

int64_t gemm_stages(ConvAlgorithm algorithm, const EffectiveConv& conv, int64_t groups,
                    int64_t depth) {
    const ConvGeometry g = conv_geometry(conv, groups);
    if (algorithm == ConvAlgorithm::kGemmWgmma) return wgmma_stages(g, static_cast<int>(depth)).all;
    return divide_round_up(g.gemm_k, depth);
}

ConvGeometry conv_geometry(const EffectiveConv& conv, int64_t groups) {
    const auto narrow = [](int64_t value) {
        PYCNN_CHECK(value < int64_t{1} << 31, UnsupportedError, "cuda: conv2d: a size of ", value,
                    "; at most 2^31 - 1 are implemented, use a smaller batch");
        return static_cast<int>(value);
    };
    const auto divide = [&](int64_t value) {
        return FastDivide(static_cast<uint32_t>(narrow(value)));
    };
    narrow(conv.x.n * conv.x.h * conv.x.w);
    narrow(conv.x.n * conv.p * conv.q + kMaxBlockM);
    return {narrow(conv.x.h),
            narrow(conv.x.w),
            narrow(conv.weight.c),
            narrow(conv.weight.n / groups),
            narrow(conv.weight.h),
            narrow(conv.weight.w),
            narrow(conv.p),
            narrow(conv.q),
            narrow(conv.stride[0]),
            narrow(conv.stride[1]),
            narrow(conv.padding[0]),
            narrow(conv.padding[1]),
            narrow(conv.dilation[0]),
            narrow(conv.dilation[1]),
            narrow(groups),
            narrow(conv.x.n * conv.p * conv.q),
            narrow(conv.weight.h * conv.weight.w * conv.weight.c),
            divide(conv.p * conv.q),
            divide(conv.q)};
}

ConvPlan conv2d_select(const ConvProblem& problem, const Device& device,
                       std::optional<ConvAlgorithm> forced) {
    PYCNN_CHECK(!problem.x_nchw || problem.params.groups == 1, UnsupportedError,
                "cuda: conv2d: a plain NCHW input with ", problem.params.groups,
                " groups; change its layout first");
    PYCNN_CHECK(!forced || fits(*forced, problem, device), UnsupportedError,
                "cuda: conv2d: algorithm ", algorithm_name(forced.value_or(ConvAlgorithm::kDirect)),
                " cannot do this convolution on compute capability ", device.major, ".",
                device.minor);
    ConvPlan plan;
    plan.problem = problem;
    plan.sm_count = device.sm_count;
    plan.algorithm = forced ? *forced : choose_algorithm(problem, device);
    plan.packing = {problem.dtype, plan.algorithm == ConvAlgorithm::kDepthwise, 0};
    if (is_gemm(plan.algorithm)) {
        plan.packing = gemm_packing(problem);
        choose_tile(plan, effective_conv(problem, plan.packing));
    }
    return plan;
}

Workspace conv_workspace(const ConvPlan& plan) {
    const EffectiveConv conv = effective_conv(plan.problem, plan.packing);
    Workspace w;
    if (plan.packing.fold > 0) {
        w.partial =
            round_up(storage_elems(conv.x, Layout::kNchw) * storage_bytes(plan.problem.dtype),
                     kWorkspaceAlignment);
    }
    const int64_t outputs = storage_elems({conv.x.n, conv.weight.n, conv.p, conv.q}, Layout::kNchw);
    w.bytes = w.partial + (plan.split_k > 1 ? plan.split_k * outputs * 4 : 0);
    return w;
}

int64_t conv2d_workspace_bytes(const ConvPlan& plan) { return conv_workspace(plan).bytes; }

int64_t conv2d_packed_bytes(const ConvPlan& plan) {
    const Shape shape = effective_conv(plan.problem, plan.packing).weight;
    return storage_elems(shape, Layout::kNchw) * storage_bytes(plan.problem.dtype);
}

std::vector<std::byte> conv2d_pack(const ConvPlan& plan, const float* weight, const double* scale) {
    const Shape& from = plan.problem.weight;
    const EffectiveConv conv = effective_conv(plan.problem, plan.packing);
    const Shape& to = conv.weight;
    const int64_t f = std::max<int64_t>(plan.packing.fold, 1);
    const DType dtype = plan.problem.dtype;
    std::vector<std::byte> packed(static_cast<size_t>(conv2d_packed_bytes(plan)));
    std::byte* at = packed.data();
    const auto append = [&](float w) {
        put(at, w, dtype);
        at += storage_bytes(dtype);
    };
    // The channels of one tap; those of a folded pixel are its pixels' channels.
    const auto append_tap = [&](int64_t k, int64_t r, int64_t s) {
        const int64_t plane = from.h * from.w;
        const double factor = scale != nullptr ? scale[k] : 1;
        for (int64_t in_block = 0; in_block < f * f; ++in_block) {
            const int64_t r_from = r * f + in_block / f - conv.shift[0];
            const int64_t s_from = s * f + in_block % f - conv.shift[1];
            const bool inside = r_from >= 0 && r_from < from.h && s_from >= 0 && s_from < from.w;
            const int64_t first = k * from.c * plane + r_from * from.w + s_from;
            for (int64_t c = 0; c < from.c; ++c) {
                append(inside ? static_cast<float>(weight[first + c * plane] * factor) : 0.0f);
            }
        }
        for (int64_t c = f * f * from.c; c < to.c; ++c) append(0.0f);
    };
    if (plan.packing.depthwise) {
        for (int64_t r = 0; r < to.h; ++r) {
            for (int64_t s = 0; s < to.w; ++s) {
                for (int64_t k = 0; k < to.n; ++k) append_tap(k, r, s);
            }
        }
        return packed;
    }
    for (int64_t k = 0; k < to.n; ++k) {
        for (int64_t r = 0; r < to.h; ++r) {
            for (int64_t s = 0; s < to.w; ++s) append_tap(k, r, s);
        }
    }
    return packed;
}

}  // namespace pycnn::cuda
