// Ops that compute each number from those at the same place: one thread for each vector of channels
// of a pixel.
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
    wait_for_previous_kernel();
    let_next_kernel_start();
    const uint32_t index = blockIdx.x * kElementwiseThreads + threadIdx.x;
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
