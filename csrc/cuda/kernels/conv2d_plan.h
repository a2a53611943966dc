// What the launchers ask of a plan.
#pragma once

#include "cuda/kernels.h"
#include "cuda/kernels/conv2d_geometry.h"

namespace pycnn::cuda {

// The convolution that the GEMMs compute: the problem itself, or what folding makes of it.
struct EffectiveConv {
    Shape x, weight;
    std::array<int64_t, 2> stride, dilation;
    std::array<int64_t, 2> padding;  // top, left
    int64_t p, q;
    // Folding puts so many rows and columns of zeros before the filter, to begin at a multiple.
    std::array<int64_t, 2> shift;
};
EffectiveConv effective_conv(const ConvProblem& problem, const ConvPacking& packing);

ConvGeometry conv_geometry(const EffectiveConv& conv, int64_t groups);

// Where the workspace's parts begin, in bytes: the folded input, then the partial sums.
struct Workspace {
    int64_t partial = 0, bytes = 0;
};
Workspace conv_workspace(const ConvPlan& plan);

// Stages of a sum of which each has `depth` of gemm_k.
int64_t gemm_stages(ConvAlgorithm algorithm, const EffectiveConv& conv, int64_t groups,
                    int64_t depth);

// Stages that one part of a split sums. The last part may have fewer.
inline int64_t stages_per_part(int64_t stages, int64_t split_k) {
    return divide_round_up(stages, split_k);
}
// Whether each part has at least one stage: 10 stages make 5 parts, or 4, but not 6.
inline bool splits(int64_t stages, int64_t split_k) {
    return divide_round_up(stages, stages_per_part(stages, split_k)) == split_k;
}

}  // namespace pycnn::cuda
