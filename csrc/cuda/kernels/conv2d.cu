// A convolution's kernels but the GEMMs, and the launcher that puts them together.
#include "cuda/kernels/conv2d_launchers.h"
#include "cuda/kernels/elementwise.h"

namespace pycnn::cuda {
namespace {

// --- direct: a thread for each output. Slow, and right for everything: the reference ---

template <class T>
struct DirectArguments {
    ConvGeometry geometry;
    const T* x;
    const T* weights;
    int64_t x_pitch;
    ConvOutput<T> output;
    FastDivide channels;
    uint32_t count;
    bool tf32;
};

template <class T>
__global__ void __launch_bounds__(kElementwiseThreads)
    conv2d_direct_kernel(const DirectArguments<T> args) {
    const uint32_t index = begin_work();
    if (index >= args.count) return;
    const ConvGeometry& g = args.geometry;
    uint32_t k;
    const auto m = static_cast<int>(args.channels.quotient(index, k));
    const InputPixel row = input_pixel(g, m);
    const T* x = args.x + static_cast<int>(k) / g.k * g.c;
    const T* w = args.weights + static_cast<int64_t>(k) * g.gemm_k;
    float sum[1] = {};
    for (Tap tap{0, 0, 0}; tap.r < g.r; advance(tap, g.c, g)) {
        const int pixel = pixel_at(g, row, tap);
        if (pixel >= 0) {
            const T* from = x + pixel * args.x_pitch;
            for (int c = 0; c < g.c; ++c) {
                float value = to_float(from[c]);
                if (args.tf32) value = __uint_as_float(round_to_tf32(__float_as_uint(value)));
                sum[0] += value * to_float(w[c]);
            }
        }
        w += g.c;
    }
    args.output.put(m, static_cast<int>(k), g.k * g.groups, sum);
}

// --- depthwise: a thread for each vector of channels of an output pixel ---

template <class T>
struct DepthwiseArguments {
    ConvGeometry geometry;
    const T* x;
    const T* weights;  // [r][s][k]
    int64_t x_pitch;
    ConvOutput<T> output;
    FastDivide vectors;
    uint32_t count;
    bool tf32;
};

template <class T, int kVector>
__global__ void __launch_bounds__(kElementwiseThreads)
    conv2d_depthwise_kernel(const DepthwiseArguments<T> args) {
    const uint32_t index = begin_work();
    if (index >= args.count) return;
    const ConvGeometry& g = args.geometry;
    uint32_t vector;
    const auto m = static_cast<int>(args.vectors.quotient(index, vector));
    const int c = static_cast<int>(vector) * kVector;
    const InputPixel row = input_pixel(g, m);
    const T* w = args.weights + c;
    float sum[kVector] = {};
    for (Tap tap{0, 0, 0}; tap.r < g.r; advance(tap, 1, g)) {
        const int pixel = pixel_at(g, row, tap);
        if (pixel >= 0) {
            float values[kVector], weights[kVector];
            load<kVector>(values, args.x + pixel * args.x_pitch + c);
            load<kVector>(weights, w);
#pragma unroll
            for (int i = 0; i < kVector; ++i) {
                if (args.tf32) {
                    values[i] = __uint_as_float(round_to_tf32(__float_as_uint(values[i])));
                }
                sum[i] += values[i] * weights[i];
            }
        }
        w += g.groups;
    }
    args.output.put(m, c, g.groups, sum);
}

// --- fold: x with its channels padded, and fold x fold pixels made one ---

template <class From, class To>
struct FoldArguments {
    const From* x;
    To* to;
    int64_t image, channel, row, pixel;  // x's strides
    int h, w, c, fold;                   // of x
    Positions positions;                 // of the folded tensor
};

// Channel (dh fold + dw) C + c of the folded pixel (h, w) is channel c of pixel
// (h fold + dh, w fold + dw).
template <class From, class To>
__global__ void __launch_bounds__(kElementwiseThreads)
    conv2d_fold_kernel(const FoldArguments<From, To> args) {
    constexpr int kVector = kFullVector<To>;
    const uint32_t index = begin_work();
    if (index >= args.positions.count) return;
    const Position at = args.positions.at(index);
    const From* image = args.x + at.n * args.image;
    float values[kVector];
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
        const int channel = static_cast<int>(at.vector) * kVector + i;
        const int in_block = channel / args.c, c = channel % args.c;
        const int from_h = static_cast<int>(at.h) * args.fold + in_block / args.fold;
        const int from_w = static_cast<int>(at.w) * args.fold + in_block % args.fold;
        const bool exists = in_block < args.fold * args.fold && from_h < args.h && from_w < args.w;
        values[i] =
            exists ? to_float(image[c * args.channel + from_h * args.row + from_w * args.pixel])
                   : 0.0f;
    }
    store<kVector>(args.to + static_cast<int64_t>(index) * kVector, values);
}

// --- the sum of a split's parts, in order ---

template <class T>
struct ReduceArguments {
    PartialSums partial;
    ConvOutput<T> output;
    FastDivide vectors;
    uint32_t count;
    int parts;
};

template <class T>
__global__ void __launch_bounds__(kElementwiseThreads)
    conv2d_reduce_kernel(const ReduceArguments<T> args) {
    constexpr int kVector = 4;
    const uint32_t index = begin_work();
    if (index >= args.count) return;
    uint32_t vector;
    const int64_t row = args.vectors.quotient(index, vector);
    const int column = static_cast<int>(vector) * kVector;
    const int columns = args.partial.columns;
    const float* from = args.partial.data + row * columns + column;
    const bool whole = columns % kVector == 0;
    float sum[kVector] = {};
    for (int part = 0; part < args.parts; ++part, from += args.partial.part_elems) {
        float values[kVector] = {};
        if (whole) {
            load<kVector>(values, from);
        } else {
            for (int i = 0; i < kVector && column + i < columns; ++i) values[i] = from[i];
        }
#pragma unroll
        for (int i = 0; i < kVector; ++i) sum[i] += values[i];
    }
    args.output.put(row, column, columns, sum);
}

// --- launchers ---

void launch_direct(const ConvArgs& args, const ConvGeometry& g, const Stream& stream) {
    const DType dtype = args.plan.problem.dtype;
    with_storage(dtype, [&](auto zero) {
        using T = decltype(zero);
        const int64_t channels = args.y.shape.c;
        const DirectArguments<T> arguments{g,
                                           static_cast<const T*>(args.x),
                                           static_cast<const T*>(args.weights),
                                           args.x_pitch,
                                           conv_output<T>(args),
                                           FastDivide(index32(channels)),
                                           index32(g.gemm_m * channels),
                                           dtype == DType::kTf32};
        launch(conv2d_direct_kernel<T>, blocks_for(arguments.count), kElementwiseThreads, 0, stream,
               arguments);
    });
}

void launch_depthwise(const ConvArgs& args, const ConvGeometry& g, const Stream& stream) {
    const ConvProblem& problem = args.plan.problem;
    with_storage(problem.dtype, [&](auto zero) {
        using T = decltype(zero);
        // The weights are aligned as a whole, and so is each of their rows where K is.
        const bool whole = problem.aligned && problem.x.c % kFullVector<T> == 0;
        const int64_t vectors = whole ? problem.x.c / kFullVector<T> : problem.x.c;
        const DepthwiseArguments<T> arguments{g,
                                              static_cast<const T*>(args.x),
                                              static_cast<const T*>(args.weights),
                                              args.x_pitch,
                                              conv_output<T>(args),
                                              FastDivide(index32(vectors)),
                                              index32(g.gemm_m * vectors),
                                              problem.dtype == DType::kTf32};
        const auto kernel =
            whole ? conv2d_depthwise_kernel<T, kFullVector<T>> : conv2d_depthwise_kernel<T, 1>;
        launch(kernel, blocks_for(arguments.count), kElementwiseThreads, 0, stream, arguments);
    });
}

template <class From, class To>
void launch_fold(const ConvArgs& args, const Shape& folded, void* to, const Stream& stream) {
    const ConvProblem& problem = args.plan.problem;
    const Shape& x = problem.x;
    FoldArguments<From, To> arguments{};
    arguments.x = static_cast<const From*>(args.x);
    arguments.to = static_cast<To*>(to);
    if (problem.x_nchw) {
        arguments.pixel = 1;
        arguments.row = x.w;
        arguments.channel = x.h * x.w;
        arguments.image = x.c * x.h * x.w;
    } else {
        arguments.channel = 1;
        arguments.pixel = args.x_pitch;
        arguments.row = x.w * args.x_pitch;
        arguments.image = x.h * x.w * args.x_pitch;
    }
    arguments.h = static_cast<int>(index32(x.h));
    arguments.w = static_cast<int>(index32(x.w));
    arguments.c = static_cast<int>(index32(x.c));
    arguments.fold = static_cast<int>(args.plan.packing.fold);
    arguments.positions = Positions(folded, folded.c / kFullVector<To>);
    launch(conv2d_fold_kernel<From, To>, blocks_for(arguments.positions.count), kElementwiseThreads,
           0, stream, arguments);
}

void launch_reduce(const GemmArgs& gemm, const Stream& stream) {
    with_storage(gemm.conv.plan.problem.dtype, [&](auto zero) {
        using T = decltype(zero);
        const PartialSums partial = partial_sums(gemm);
        const int64_t vectors = divide_round_up(partial.columns, 4);
        const ReduceArguments<T> arguments{
            partial, conv_output<T>(gemm.conv), FastDivide(index32(vectors)),
            index32(gemm.geometry.gemm_m * vectors), gemm.conv.plan.split_k};
        launch(conv2d_reduce_kernel<T>, blocks_for(arguments.count), kElementwiseThreads, 0, stream,
               arguments);
    });
}

}  // namespace

void launch_conv2d(const ConvArgs& args, const Stream& stream) {
    const ConvPlan& plan = args.plan;
    const EffectiveConv conv = effective_conv(plan.problem, plan.packing);
    const ConvGeometry geometry = conv_geometry(conv, plan.problem.params.groups);
    if (plan.algorithm == ConvAlgorithm::kDirect) return launch_direct(args, geometry, stream);
    if (plan.algorithm == ConvAlgorithm::kDepthwise) {
        return launch_depthwise(args, geometry, stream);
    }

    GemmArgs gemm{args, geometry, args.x, args.x_pitch, nullptr};
    if (plan.packing.fold > 0) {
        gemm.x = args.workspace;
        gemm.x_pitch = conv.x.c;
        with_storage(plan.problem.dtype, [&](auto zero) {
            using T = decltype(zero);
            const auto run = plan.problem.x_nchw ? launch_fold<float, T> : launch_fold<T, T>;
            run(args, conv.x, args.workspace, stream);
        });
    }
    if (plan.split_k > 1) {
        gemm.partial = reinterpret_cast<float*>(static_cast<std::byte*>(args.workspace) +
                                                conv_workspace(plan).partial);
    }
    switch (plan.algorithm) {
        case ConvAlgorithm::kGemmSimt: launch_conv2d_simt(gemm, stream); break;
        case ConvAlgorithm::kGemmMma: launch_conv2d_mma(gemm, stream); break;
        default: launch_conv2d_wgmma(gemm, stream); break;
    }
    if (plan.split_k > 1) launch_reduce(gemm, stream);
}

}  // namespace pycnn::cuda
