// Stands in for CUDA's header of the same name.
#pragma once

#include "cuda/half.h"

struct __nv_bfloat16 {
    uint16_t bits;
};
inline float __bfloat162float(__nv_bfloat16 b) { return pycnn::cuda::bfloat16_to_float(b.bits); }
inline __nv_bfloat16 __float2bfloat16_rn(float value) {
    return {pycnn::cuda::float_to_bfloat16(value)};
}
