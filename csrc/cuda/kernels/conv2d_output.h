// What becomes of the sums: act(sum + bias + residual), rounded once, in vectors of channels.
#pragma once

#include "cuda/kernels/conv2d_geometry.h"
#include "cuda/kernels/numbers.h"
#include "cuda/kernels/ptx.h"

namespace pycnn::cuda {

// Rows are output pixels, columns the channels of all groups.
template <class T>
struct ConvOutput {
    T* y;
    const T* residual;  // or null
    const float* bias;  // or null
    int64_t y_pitch, residual_pitch;
    bool relu;
    bool vectors;  // y and the residual are aligned, and so is each group's first channel

    // Columns [column, column + kCount) of a row, those before `end`.
    template <int kCount>
    __device__ __forceinline__ void put(int64_t row, int column, int end,
                                        float (&sum)[kCount]) const {
        const bool whole = vectors && column + kCount <= end;
        T* to = y + row * y_pitch + column;
        const T* add = residual + (residual != nullptr ? row * residual_pitch + column : 0);
        float value[kCount] = {};
        if (residual != nullptr && whole) load<kCount>(value, add);
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
            if (column + i >= end) break;
            if (residual != nullptr && !whole) value[i] = to_float(add[i]);
            value[i] += sum[i] + (bias != nullptr ? bias[column + i] : 0.0f);
            if (relu) value[i] = pycnn::cuda::relu(value[i]);
            if (!whole) to[i] = from_float<T>(value[i]);
        }
        if (whole) store<kCount>(to, value);
    }
};

// Where a split's parts go: float32, dense, one matrix after the other.
struct PartialSums {
    float* data;
    int64_t part_elems;
    int columns;
    bool vectors;

    __device__ ConvOutput<float> part(int index) const {
        return {data + index * part_elems, nullptr, nullptr, columns, 0, false, vectors};
    }
};

// --- a warp's sums, from tensor cores ---
//
// mma.sync and wgmma leave them alike: sum[i] is a fragment of 16 rows and 8 columns (ptx.h), the
// fragments side by side. A lane has two neighbouring columns of a row; memory wants vectors of
// them. So they change hands through shared memory, kSlabColumns at a time.

inline constexpr int kSlabColumns = 32, kSlabRows = 16;
inline constexpr int kSlabPitch = kSlabColumns + 8;  // lanes of a half-warp write to all banks
inline constexpr int kSlabFloats = kSlabRows * kSlabPitch;  // for each warp

// `row` and `column` are the fragments' first; rows end at row_end, columns at column_end.
template <int kFragments, class T>
__device__ __forceinline__ void put_fragments(const ConvOutput<T>& out, float* slab,
                                              const float (&sum)[kFragments][4], int row,
                                              int row_end, int column, int column_end) {
    constexpr int kVector = kFullVector<T>, kVectors = kSlabColumns / kVector;
    constexpr int kSlabFragments = kSlabColumns / 8;
    static_assert(kFragments % kSlabFragments == 0);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const RowColumn own = d_fragment(lane);
#pragma unroll
    for (int first = 0; first < kFragments; first += kSlabFragments) {
        __syncwarp();  // the slab has been read
#pragma unroll
        for (int i = 0; i < kSlabFragments; ++i) {
            const auto& d = sum[first + i];
            float* to = slab + own.row * kSlabPitch + i * 8 + own.column;
            *reinterpret_cast<float2*>(to) = float2{d[0], d[1]};
            *reinterpret_cast<float2*>(to + 8 * kSlabPitch) = float2{d[2], d[3]};
        }
        __syncwarp();
        for (int i = lane; i < kSlabRows * kVectors; i += 32) {
            const int r = i / kVectors, c = i % kVectors * kVector;
            const int to_column = column + first * 8 + c;
            if (row + r >= row_end || to_column >= column_end) continue;
            float values[kVector];
#pragma unroll
            for (int part = 0; part < kVector; part += 4) {
                const float4 four =
                    *reinterpret_cast<const float4*>(slab + r * kSlabPitch + c + part);
                values[part] = four.x;
                values[part + 1] = four.y;
                values[part + 2] = four.z;
                values[part + 3] = four.w;
            }
            out.put(row + r, to_column, column_end, values);
        }
    }
}

}  // namespace pycnn::cuda
