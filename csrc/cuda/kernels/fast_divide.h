// Division by a number that is known before the launch: a multiplication and a shift (Granlund and
// Montgomery 1994, section 4). Right for dividends below 2^31.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define PYCNN_HOST_DEVICE __host__ __device__
#else
#define PYCNN_HOST_DEVICE
#endif

namespace pycnn::cuda {

class FastDivide {
public:
    FastDivide() = default;
    constexpr explicit FastDivide(uint32_t divisor) : divisor_(divisor) {
        while (shift_ < 31 && (uint32_t{1} << shift_) < divisor) ++shift_;
        // ceil(2^(32 + shift) / divisor) - 2^32, which fits 32 bits.
        const uint64_t power = uint64_t{1} << shift_;
        multiplier_ = static_cast<uint32_t>(((power - divisor) << 32) / divisor + 1);
    }

    constexpr PYCNN_HOST_DEVICE uint32_t divisor() const { return divisor_; }
    constexpr PYCNN_HOST_DEVICE uint32_t quotient(uint32_t n) const {
        const auto high = static_cast<uint32_t>((static_cast<uint64_t>(n) * multiplier_) >> 32);
        return (high + n) >> shift_;
    }
    constexpr PYCNN_HOST_DEVICE uint32_t quotient(uint32_t n, uint32_t& remainder) const {
        const uint32_t q = quotient(n);
        remainder = n - q * divisor_;
        return q;
    }

private:
    uint32_t divisor_ = 1, multiplier_ = 1, shift_ = 0;
};

}  // namespace pycnn::cuda
