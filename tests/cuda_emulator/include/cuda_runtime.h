// Stands in for CUDA's header of the same name: what the kernels use of it.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "emulator.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__

#define threadIdx (emulator::place().thread)
#define blockIdx (emulator::place().block)
#define blockDim (emulator::place().block_size)
#define gridDim (emulator::place().grid_size)

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};

using std::max;
using std::min;

inline void __syncthreads() { emulator::barrier(0, static_cast<int>(blockDim.x)); }
inline void __syncwarp() {
    emulator::collective("__syncwarp", emulator::kWarpSize, nullptr, [](void* const*) {});
}

namespace emulator {
template <class T>
struct Shuffle {
    T value;
    int from;
    T result;
};
template <class T>
T shuffle(const char* name, T value, int from) {
    Shuffle<T> mine{value, from, value};
    collective(name, kWarpSize, &mine, [](void* const* all) {
        for (int lane = 0; lane < kWarpSize; ++lane) {
            auto* s = static_cast<Shuffle<T>*>(all[lane]);
            if (s->from >= 0 && s->from < kWarpSize) {
                s->result = static_cast<const Shuffle<T>*>(all[s->from])->value;
            }
        }
    });
    return mine.result;
}
}  // namespace emulator

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulator::shuffle("__shfl_xor_sync", value, emulator::place().lane() ^ mask);
}
template <class T>
T __shfl_sync(unsigned, T value, int lane) {
    return emulator::shuffle("__shfl_sync", value, lane);
}

inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
