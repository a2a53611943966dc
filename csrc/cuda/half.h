// The 16-bit formats and TF32 on the host: where weights are packed, and in the tests.
// The 16-bit conversions round to nearest, ties to even; overflow gives infinity, NaN stays NaN.
#pragma once

#include <bit>
#include <cstdint>

namespace pycnn::cuda {

constexpr uint16_t float_to_bfloat16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
    return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
constexpr float bfloat16_to_float(uint16_t bits) {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
}

constexpr uint16_t float_to_float16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return static_cast<uint16_t>(sign | 0x7E00);
    if (magnitude >= 0x477FF000) return static_cast<uint16_t>(sign | 0x7C00);  // rounds to 2^16
    if (magnitude <
        0x38800000) {  // below 2^-14: the sum's own rounding makes it a multiple of 2^-24
        const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
        return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - 0x3F000000));
    }
    const uint32_t odd = magnitude >> 13 & 1;
    return static_cast<uint16_t>(sign | ((magnitude - 0x38000000 + 0xFFF + odd) >> 13));
}
constexpr float float16_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
    const uint32_t exponent = half >> 10 & 0x1F, mantissa = half & 0x3FF;
    if (exponent == 0) {
        const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
        return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
    }
    const uint32_t wide = exponent == 31 ? 0xFF : exponent + 112;
    return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

// TF32 has float32's exponent and 10 bits of mantissa; the instruction (cvt.rna) rounds ties away.
constexpr float round_to_tf32(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7F800000) == 0x7F800000) return value;
    return std::bit_cast<float>((bits + 0x1000) & 0xFFFFE000);
}

}  // namespace pycnn::cuda
