// Elementary functions on vectors. Coefficients are minimax fits of the relative error.
#pragma once

#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {

PYCNN_INLINE IntVec bits(Vec x) { return reinterpret_cast<IntVec>(x); }
PYCNN_INLINE Vec from_bits(IntVec x) { return reinterpret_cast<Vec>(x); }

// Each becomes one instruction.
PYCNN_INLINE Vec sqrt(Vec x) {
    PYCNN_UNROLL for (int i = 0; i < kLanes; ++i) x[i] = __builtin_sqrtf(x[i]);
    return x;
}
PYCNN_INLINE Vec abs(Vec x) { return from_bits(bits(x) & 0x7fffffff); }
PYCNN_INLINE Vec copy_sign(Vec magnitude, Vec sign) {
    return from_bits(bits(magnitude) | (bits(sign) & INT32_MIN));
}

// True in the lanes of a block's vector `v` that hold one of the first `channels` channels.
PYCNN_INLINE IntVec real_lanes(int v, int64_t channels) {
    IntVec lane;
    PYCNN_UNROLL for (int i = 0; i < kLanes; ++i) lane[i] = v * kLanes + i;
    return lane < static_cast<int32_t>(channels < kChannelBlock ? channels : kChannelBlock);
}

// exp(x) = 2^n exp(r), n = round(x / ln 2), |r| <= ln 2 / 2. Relative error about 1e-7 where the
// result is normal; 0 and infinity beyond; NaN stays NaN. 2^n is applied in two halves: 2^128 is no
// float.
PYCNN_INLINE Vec exp(Vec x) {
    const Vec lowest = broadcast(-104.0f), highest = broadcast(89.0f);
    x = x < lowest ? lowest : x;
    x = x > highest ? highest : x;
    // Adding 1.5 * 2^23 leaves the rounded sum in the low bits.
    const Vec shift = broadcast(12582912.0f);
    const Vec shifted = x * 1.44269504f + shift;
    const Vec n = shifted - shift;
    const Vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Vec p = r * 1.3814320555e-3f + 8.3688506857e-3f;
    p = p * r + 4.1668400168e-2f;
    p = p * r + 1.6666519642e-1f;
    p = p * r + 4.9999994040e-1f;
    p = (r * r) * p + r + 1.0f;
    const IntVec exponent = bits(shifted) - bits(shift), half = exponent >> 1;
    return p * from_bits((half + 127) << 23) * from_bits((exponent - half + 127) << 23);
}

PYCNN_INLINE Vec sigmoid(Vec x) { return 1.0f / (1.0f + exp(-x)); }

// Near 0 a polynomial in x^2, which keeps the relative accuracy; elsewhere 1 - 2 / (exp(2|x|) + 1),
// which is exactly 1 from |x| = 9.02 on.
PYCNN_INLINE Vec tanh(Vec x) {
    const Vec a = abs(x), z = a * a;
    Vec p = z * -5.7049868628e-3f + 2.0639088005e-2f;
    p = p * z - 5.3739715368e-2f;
    p = p * z + 1.3331441581e-1f;
    p = p * z - 3.3333280683e-1f;
    const Vec near = (p * z) * a + a;
    const Vec far = 1.0f - 2.0f / (exp(a + a) + 1.0f);
    return copy_sign(a < 0.625f ? near : far, x);
}

}  // namespace pycnn::cpu::PYCNN_ISA
