// A square of numbers, as many as a vector has lanes, transposed in registers.
#pragma once

#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {

// Swaps the parts of each two rows whose numbers differ in the bit D: rows i and i + D exchange the
// lanes of the one that have the bit for those of the other that have it not.
template <int D>
PYCNN_INLINE void exchange(Vec (&row)[kLanes]) {
    IntVec low{}, high{};  // lanes of the second operand count from kLanes on
    PYCNN_UNROLL for (int i = 0; i < kLanes; ++i) {
        low[i] = i & D ? kLanes + (i ^ D) : i;
        high[i] = i & D ? kLanes + i : i | D;
    }
    PYCNN_UNROLL for (int i = 0; i < kLanes; ++i) {
        if (i & D) continue;
        const Vec a = row[i], b = row[i | D];
#if defined(__clang__)
        PYCNN_UNROLL for (int j = 0; j < kLanes; ++j) {
            row[i][j] = low[j] < kLanes ? a[low[j]] : b[low[j] - kLanes];
            row[i | D][j] = high[j] < kLanes ? a[high[j]] : b[high[j] - kLanes];
        }
#else
        row[i] = __builtin_shuffle(a, b, low);
        row[i | D] = __builtin_shuffle(a, b, high);
#endif
    }
}

// row[i][j] becomes row[j][i] (Eklundh 1972).
PYCNN_INLINE void transpose(Vec (&row)[kLanes]) {
    exchange<1>(row);
    exchange<2>(row);
    if constexpr (kLanes > 4) exchange<4>(row);
    if constexpr (kLanes > 8) exchange<8>(row);
}

}  // namespace pycnn::cpu::PYCNN_ISA
