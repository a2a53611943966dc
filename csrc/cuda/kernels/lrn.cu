#include <algorithm>

#include "cuda/kernels/elementwise.h"

namespace pycnn::cuda {
namespace {

template <class T>
struct Arguments {
    const T* x;
    T* y;
    int64_t x_pitch, y_pitch;
    int channels, before, after;
    float alpha, beta, k;  // alpha divided by the window's size
    FastDivide vectors;
    uint32_t count;

    __device__ float normalise(float value, float sum) const {
        const float t = sum * alpha + k;
        if (beta == 0.75f) {
            const float root = sqrtf(t);
            return value / (root * sqrtf(root));
        }
        return value / powf(t, beta);
    }
};

// A window that reaches at most one vector to each side: three reads for kVector channels.
template <class T, int kVector>
__global__ void __launch_bounds__(kElementwiseThreads) lrn_vector_kernel(const Arguments<T> args) {
    const uint32_t index = begin_work();
    if (index >= args.count) return;
    uint32_t vector;
    const int64_t pixel = args.vectors.quotient(index, vector);
    const int c = static_cast<int>(vector) * kVector;
    const T* x = args.x + pixel * args.x_pitch + c;
    float squares[3 * kVector], own[kVector];
#pragma unroll
    for (int part = 0; part < 3; ++part) {
        float values[kVector] = {};
        const int first = c + (part - 1) * kVector;
        if (first >= 0 && first < args.channels) load<kVector>(values, x + (part - 1) * kVector);
#pragma unroll
        for (int i = 0; i < kVector; ++i) {
            squares[part * kVector + i] = values[i] * values[i];
            if (part == 1) own[i] = values[i];
        }
    }
#pragma unroll
    for (int i = 0; i < kVector; ++i) {
        float sum = 0.0f;
#pragma unroll
        for (int j = -kVector; j <= kVector; ++j) {  // no index that only the run knows: registers
            if (j >= -args.before && j <= args.after) sum += squares[kVector + i + j];
        }
        own[i] = args.normalise(own[i], sum);
    }
    store<kVector>(args.y + pixel * args.y_pitch + c, own);
}

template <class T>
__global__ void __launch_bounds__(kElementwiseThreads) lrn_kernel(const Arguments<T> args) {
    const uint32_t index = begin_work();
    if (index >= args.count) return;
    uint32_t channel;
    const int64_t pixel = args.vectors.quotient(index, channel);
    const int c = static_cast<int>(channel);
    const T* x = args.x + pixel * args.x_pitch;
    float sum = 0.0f;
    for (int j = max(c - args.before, 0); j <= min(c + args.after, args.channels - 1); ++j) {
        const float value = to_float(x[j]);
        sum += value * value;
    }
    args.y[pixel * args.y_pitch + c] = from_float<T>(args.normalise(to_float(x[c]), sum));
}

}  // namespace

void launch_lrn(const ops::LrnParams& p, const UnaryArgs& args, const Stream& stream) {
    with_storage(args.dtype, [&](auto zero) {
        using T = decltype(zero);
        const bool whole = are_vectors(args.dtype, args.x, args.y) &&
                           std::max(p.before, p.after) <= kFullVector<T>;
        const int64_t channels = args.y.shape.c;
        const int64_t vectors = whole ? channels / kFullVector<T> : channels;
        const Arguments<T> arguments{static_cast<const T*>(args.x.data),
                                     static_cast<T*>(args.y.data),
                                     args.x.pitch,
                                     args.y.pitch,
                                     static_cast<int>(index32(channels)),
                                     static_cast<int>(p.before),
                                     static_cast<int>(p.after),
                                     p.alpha / static_cast<float>(p.before + p.after + 1),
                                     p.beta,
                                     p.k,
                                     FastDivide(index32(vectors)),
                                     index32(pixels(args.y) * vectors)};
        const auto kernel = whole ? lrn_vector_kernel<T, kFullVector<T>> : lrn_kernel<T>;
        launch(kernel, blocks_for(arguments.count), kElementwiseThreads, 0, stream, arguments);
    });
}

}  // namespace pycnn::cuda
