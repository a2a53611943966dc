// The tiles of the implicit GEMMs: what a block computes at a time. A plan's `tile` is a row of its
// algorithm's table, and each row is one instance of the kernel.
//
// `efficiency` is the share of the machine's products that a full tile is expected to reach. The
// numbers are estimates from the ratio of loads to products: no device has been measured yet.
#pragma once

#include <vector>

#include "cuda/kernels.h"
#include "cuda/kernels/fast_divide.h"

namespace pycnn::cuda {

// Kernels number the rows of a last tile that are beyond gemm_m, too.
inline constexpr int kMaxBlockM = 128;

struct SimtTile {
    int block_m, block_n, thread_m, thread_n;
    double efficiency;
    constexpr PYCNN_HOST_DEVICE int threads() const {
        return block_m / thread_m * (block_n / thread_n);
    }
};
inline constexpr SimtTile kSimtTiles[] = {
    {128, 128, 8, 8, 0.85},
    {128, 64, 8, 4, 0.7},
    {64, 64, 4, 4, 0.55},
};
inline constexpr int kSimtDepth = 16;  // of gemm_k in a stage

struct MmaTile {
    int block_m, block_n, warps_m, warps_n, stages;
    double efficiency;
    constexpr PYCNN_HOST_DEVICE int threads() const { return 32 * warps_m * warps_n; }
    constexpr PYCNN_HOST_DEVICE int warp_m() const { return block_m / warps_m; }
    constexpr PYCNN_HOST_DEVICE int warp_n() const { return block_n / warps_n; }
};
inline constexpr MmaTile kMmaTiles[] = {
    {128, 128, 2, 4, 4, 0.65},
    {128, 64, 2, 2, 4, 0.55},
    {64, 64, 2, 2, 4, 0.4},
    {128, 32, 4, 1, 4, 0.35},
};

// Two consumer warpgroups of 64 rows each; a stage is 128 bytes of each row.
struct WgmmaTile {
    int block_n, stages;
    double efficiency;
};
inline constexpr int kWgmmaBlockM = 128, kWgmmaRowBytes = 128;
inline constexpr WgmmaTile kWgmmaTiles[] = {
    {256, 4, 0.8},
    {128, 4, 0.7},
    {64, 6, 0.5},
};

// What the choice needs of a row of any of the tables.
struct Tile {
    int block_m, block_n;
    int depth;  // of gemm_k in a stage
    double efficiency;
};
std::vector<Tile> tiles_of(ConvAlgorithm algorithm, DType dtype);

}  // namespace pycnn::cuda
