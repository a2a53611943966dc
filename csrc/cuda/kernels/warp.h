// Sums and maxima over the lanes of a warp; every lane gets the result.
#pragma once

#include "cuda/kernels/numbers.h"

namespace pycnn::cuda {

inline constexpr int kWarp = 32;

__device__ __forceinline__ float warp_sum(float value) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) value += __shfl_xor_sync(~0u, value, mask);
    return value;
}
__device__ __forceinline__ float warp_max(float value) {
    for (int mask = kWarp / 2; mask > 0; mask /= 2) {
        value = max_keeping_nan(value, __shfl_xor_sync(~0u, value, mask));
    }
    return value;
}

}  // namespace pycnn::cuda
