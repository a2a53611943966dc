// The vector type of the instruction set that this file is compiled for, by the compiler's vector
// extension: +, *, ?: and comparisons are element-wise, and a*b + c becomes a fused multiply-add
// where the set has one. A Block is the 16 channels of NCHW16c. Everything is always inlined: an
// out-of-line copy compiled for AVX-512 must not be linked into the baseline path.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/tensor.h"

#ifndef PYCNN_ISA
#error "compile with -DPYCNN_ISA=<instruction set>"
#endif

#define PYCNN_INLINE [[gnu::always_inline]] inline
#define PYCNN_UNROLL _Pragma("GCC unroll 32")

namespace pycnn::cpu::PYCNN_ISA {

#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
#else
inline constexpr int kLanes = 4;  // SSE2, NEON
#endif
inline constexpr int kVecs = kChannelBlock / kLanes;

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));

PYCNN_INLINE Vec load(const float* p) {
    Vec v;
    std::memcpy(&v, p, sizeof v);  // unaligned load
    return v;
}
PYCNN_INLINE void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
PYCNN_INLINE Vec broadcast(float x) { return x - Vec{}; }
PYCNN_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
// The larger, or NaN where either is: each of the two maxima keeps another operand's NaN, and what
// is or-ed with a NaN is one.
PYCNN_INLINE Vec max_keeping_nan(Vec a, Vec b) {
    return (Vec)((IntVec)max(a, b) | (IntVec)max(b, a));
}
PYCNN_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }
// NaN stays NaN, as in torch: the comparison is false for it.
PYCNN_INLINE Vec relu(Vec x) { return x < 0.0f ? Vec{} : x; }

}  // namespace pycnn::cpu::PYCNN_ISA
