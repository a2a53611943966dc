// A clock for what takes microseconds: std::chrono's takes twice as long to read (24 ns on Zen 4),
// and waits for all instructions before it.
#pragma once

#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace pycnn {

// Counts on at a constant rate, which is not known: who needs seconds reads std::chrono's clock at
// the ends of a longer time as well.
inline int64_t ticks() {
#if defined(__x86_64__)
    static const bool constant = [] {
        unsigned a, b, c, d;
        constexpr unsigned kInvariant = 1 << 8;  // whatever the core's speed and sleep
        return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & kInvariant) != 0;
    }();
    if (constant) return static_cast<int64_t>(__builtin_ia32_rdtsc());
#endif
    return std::chrono::steady_clock::now().time_since_epoch().count();
}

}  // namespace pycnn
