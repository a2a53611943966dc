// Numbers as they are stored, and as kernels compute with them: float32.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "core/error.h"
#include "cuda/kernels.h"

namespace pycnn::cuda {

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(__half value) { return __half2float(value); }
__device__ __forceinline__ float to_float(__nv_bfloat16 value) { return __bfloat162float(value); }

template <class T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
    return value;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float value) {
    return __float2half_rn(value);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float value) {
    return __float2bfloat16_rn(value);
}

// Consecutive numbers, read or written by one instruction of up to 16 bytes.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount) Vector {
    T values[kCount];
};
template <class T>
inline constexpr int kFullVector = static_cast<int>(kVectorBytes / sizeof(T));

template <int kCount, class T>
__device__ __forceinline__ void load(float (&to)[kCount], const T* from) {
    const auto vector = *reinterpret_cast<const Vector<T, kCount>*>(from);
#pragma unroll
    for (int i = 0; i < kCount; ++i) to[i] = to_float(vector.values[i]);
}
template <int kCount, class T>
__device__ __forceinline__ void store(T* to, const float (&from)[kCount]) {
    Vector<T, kCount> vector;
#pragma unroll
    for (int i = 0; i < kCount; ++i) vector.values[i] = from_float<T>(from[i]);
    *reinterpret_cast<Vector<T, kCount>*>(to) = vector;
}

// NaN stays NaN, which fmaxf does not do.
__device__ __forceinline__ float relu(float x) { return x < 0.0f ? 0.0f : x; }
__device__ __forceinline__ float max_keeping_nan(float a, float b) {
    return a > b || a != a ? a : b;
}
__device__ __forceinline__ float min_keeping_nan(float a, float b) {
    return a < b || a != a ? a : b;
}

// Calls body(T{}) with the type that a dtype is stored as.
template <class Body>
void with_storage(DType dtype, Body body) {
    switch (dtype) {
        case DType::kFloat32:
        case DType::kTf32: return body(float{});
        case DType::kFloat16: return body(__half{});
        case DType::kBfloat16: return body(__nv_bfloat16{});
    }
}

// Kernels count elements and threads in 32 bits, which divide several times as fast as 64.
inline uint32_t index32(int64_t count) {
    PYCNN_CHECK(count < int64_t{1} << 31, UnsupportedError, "cuda: a tensor of ", count,
                " elements; at most 2^31 - 1 are implemented, use a smaller batch");
    return static_cast<uint32_t>(count);
}

}  // namespace pycnn::cuda
