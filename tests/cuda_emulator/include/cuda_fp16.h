// Stands in for CUDA's header of the same name. The arithmetic of the conversions is in
// csrc/cuda/half.h, which packs the weights as well.
#pragma once

#include "cuda/half.h"

struct __half {
    uint16_t bits;
};
inline float __half2float(__half h) { return pycnn::cuda::float16_to_float(h.bits); }
inline __half __float2half_rn(float value) { return {pycnn::cuda::float_to_float16(value)}; }
