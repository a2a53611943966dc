// What kernels share that have a thread for each piece of work, mostly a vector of channels of a
// pixel; and those of them that compute each number from those at the same place.
#pragma once

#include "cuda/kernels/fast_divide.h"
#include "cuda/kernels/launch.h"
#include "cuda/kernels/numbers.h"
#include "cuda/kernels/ptx.h"

namespace pycnn::cuda {

inline constexpr int kElementwiseThreads = 256;

inline int64_t pixels(const Tensor& t) { return t.shape.n * t.shape.h * t.shape.w; }

// Blocks of kElementwiseThreads for so many threads.
inline dim3 blocks_for(int64_t threads) {
    return dim3(index32(divide_round_up(threads, kElementwiseThreads)));
}

// The number of this thread's piece of work; kLanes neighbours share one. First waits for the
// kernel before, as every thread of every kernel must.
template <int kLanes = 1>
__device__ __forceinline__ uint32_t begin_work() {
    wait_for_previous_kernel();
    let_next_kernel_start();
    return blockIdx.x * (kElementwiseThreads / kLanes) + threadIdx.x / kLanes;
}

// The vectors of channels of an NHWC tensor, counted.
struct Position {
    uint32_t pixel, n, h, w, vector;
};
struct Positions {
    FastDivide vectors, width, height;  // vectors of a pixel
    uint32_t count = 0;

    Positions() = default;
    Positions(const Shape& shape, int64_t pixel_vectors)
        : vectors(index32(pixel_vectors)),
          width(index32(shape.w)),
          height(index32(shape.h)),
          count(index32(shape.n * shape.h * shape.w * pixel_vectors)) {}

    __device__ __forceinline__ Position at(uint32_t index) const {
        Position p;
        p.pixel = vectors.quotient(index, p.vector);
        p.n = height.quotient(width.quotient(p.pixel, p.w), p.h);
        return p;
    }
};

template <class T, int kOperands>
struct ElementwiseArgs {
    const T* in[kOperands];
    int64_t in_pitch[kOperands];
    T* out;
    int64_t out_pitch;
    FastDivide vectors;  // of a pixel
    uint32_t count;      // of all vectors
};

// function(c, x...) is the value of channel c.
template <class T, int kVector, int kOperands, class Function>
__global__ void __launch_bounds__(kElementwiseThreads)
    elementwise_kernel(const ElementwiseArgs<T, kOperands> args, const Function function) {
    const uint32_t index = begin_work();
    if (index >= args.count) return;
    uint32_t vector;
    const int64_t pixel = args.vectors.quotient(index, vector);
    const int c = static_cast<int>(vector) * kVector;
    float in[kOperands][kVector], out[kVector];
#pragma unroll
    for (int i = 0; i < kOperands; ++i) {
        load<kVector>(in[i], args.in[i] + pixel * args.in_pitch[i] + c);
    }
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
        if constexpr (kOperands == 1) {
            out[j] = function(c + j, in[0][j]);
        } else {
            out[j] = function(c + j, in[0][j], in[1][j]);
        }
    }
    store<kVector>(args.out + pixel * args.out_pitch + c, out);
}

// Whether all of these can be read in whole vectors.
template <class... Tensors>
bool are_vectors(DType dtype, const Tensors&... tensors) {
    return ((is_aligned(tensors, dtype) && tensors.shape.c % vector_elems(dtype) == 0) && ...);
}

template <class Function, class... Inputs>
void launch_elementwise(DType dtype, const Stream& stream, const Function& function,
                        const Tensor& y, const Inputs&... inputs) {
    constexpr int kOperands = sizeof...(Inputs);
    with_storage(dtype, [&](auto zero) {
        using T = decltype(zero);
        const bool whole = are_vectors(dtype, y, inputs...);
        const int64_t vectors = whole ? y.shape.c / kFullVector<T> : y.shape.c;
        const ElementwiseArgs<T, kOperands> args{{static_cast<const T*>(inputs.data)...},
                                                 {inputs.pitch...},
                                                 static_cast<T*>(y.data),
                                                 y.pitch,
                                                 FastDivide(index32(vectors)),
                                                 index32(pixels(y) * vectors)};
        const auto kernel = whole ? elementwise_kernel<T, kFullVector<T>, kOperands, Function>
                                  : elementwise_kernel<T, 1, kOperands, Function>;
        launch(kernel, blocks_for(args.count), kElementwiseThreads, 0, stream, args, function);
    });
}

}  // namespace pycnn::cuda
