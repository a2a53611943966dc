// The launchers of a convolution's parts, one for each file of kernels.
#pragma once

#include "cuda/kernels/conv2d_output.h"
#include "cuda/kernels/conv2d_plan.h"

namespace pycnn::cuda {

// What the GEMMs read and write. `x` is where the effective convolution's input lies.
struct GemmArgs {
    const ConvArgs& conv;
    ConvGeometry geometry;
    const void* x;
    int64_t x_pitch;
    float* partial;  // of split_k matrices (gemm_m, groups K), or null where there is no split
};
void launch_conv2d_simt(const GemmArgs& args, const Stream& stream);
void launch_conv2d_mma(const GemmArgs& args, const Stream& stream);
void launch_conv2d_wgmma(const GemmArgs& args, const Stream& stream);

template <class T>
ConvOutput<T> conv_output(const ConvArgs& args) {
    const ConvProblem& problem = args.plan.problem;
    const Tensor &y = args.y, &residual = args.residual;
    const int64_t channels = problem.weight.n;
    const int64_t group = args.plan.packing.depthwise ? channels : channels / problem.params.groups;
    const bool aligned = is_aligned(y, problem.dtype) &&
                         (residual.data == nullptr || is_aligned(residual, problem.dtype)) &&
                         (group == channels || group % kFullVector<T> == 0);
    return {static_cast<T*>(y.data),
            static_cast<const T*>(residual.data),
            args.bias,
            y.pitch,
            residual.pitch,
            problem.params.relu,
            aligned};
}

inline PartialSums partial_sums(const GemmArgs& args) {
    const ConvGeometry& g = args.geometry;
    return {args.partial, static_cast<int64_t>(g.gemm_m) * g.groups * g.k, g.groups * g.k,
            g.k % kFullVector<float> == 0};
}

}  // namespace pycnn::cuda
