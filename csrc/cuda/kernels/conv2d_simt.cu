// Implicit GEMM in strict float32: fused multiply-adds, gemm_k in ascending order.
//
// A block computes a tile of block_m output pixels by block_n output channels, a thread thread_m by
// thread_n of them in registers. Two stages of shared memory take turns: while one is multiplied,
// the next one's numbers are on their way to registers, and are then stored, transposed, into the
// other.
#include "cuda/kernels/conv2d_launchers.h"
#include "cuda/kernels/conv2d_tiles.h"
#include "cuda/kernels/launch.h"

namespace pycnn::cuda {
namespace {

struct Arguments {
    ConvGeometry geometry;
    const float* x;
    const float* weights;
    int64_t x_pitch;
    ConvOutput<float> output;
    PartialSums partial;
    int part_stages;  // of gemm_k, of one part of a split
    int column_tiles;
};

constexpr int kVector = 4;
constexpr int kRowVectors = kSimtDepth / kVector;

// A matrix's stage in shared memory: [kSimtDepth][kRows], with a gap, so that threads that store
// different columns of a row meet in few banks.
template <int kRows>
struct Panel {
    static constexpr int kPitch = kRows + 4;
    static constexpr int kFloats = kSimtDepth * kPitch;

    static __device__ __forceinline__ void put(float* panel, int row, int vector,
                                               const float (&values)[kVector]) {
#pragma unroll
        for (int i = 0; i < kVector; ++i) panel[(vector * kVector + i) * kPitch + row] = values[i];
    }
};

template <int kTile>
__global__ void __launch_bounds__(kSimtTiles[kTile].threads())
    conv2d_simt_kernel(const Arguments args) {
    constexpr SimtTile kShape = kSimtTiles[kTile];
    constexpr int kBlockM = kShape.block_m, kBlockN = kShape.block_n;
    constexpr int kThreadM = kShape.thread_m, kThreadN = kShape.thread_n;
    constexpr int kStep = kShape.threads() / kRowVectors;
    constexpr int kRowsA = kBlockM / kStep, kRowsB = kBlockN / kStep;
    constexpr int kStageFloats = Panel<kBlockM>::kFloats + Panel<kBlockN>::kFloats;
    static_assert(kBlockM % kStep == 0 && kBlockN % kStep == 0);

    let_next_kernel_start();
    auto* shared = static_cast<float*>(dynamic_shared());
    const ConvGeometry& g = args.geometry;
    const int first_row = static_cast<int>(blockIdx.x) / args.column_tiles * kBlockM;
    const int first_column = static_cast<int>(blockIdx.x) % args.column_tiles * kBlockN;
    const int group = static_cast<int>(blockIdx.y), part = static_cast<int>(blockIdx.z);
    const int first_stage = part * args.part_stages;
    const int stages =
        min(args.part_stages, (g.gemm_k + kSimtDepth - 1) / kSimtDepth - first_stage);

    // Each thread fetches one vector of a few rows, always at the same place of a stage.
    const int vector = static_cast<int>(threadIdx.x) % kRowVectors;
    const int row = static_cast<int>(threadIdx.x) / kRowVectors;
    int k = first_stage * kSimtDepth + vector * kVector;
    Tap tap = tap_at(g, k);
    const float* x = args.x + group * g.c;
    const float* w = args.weights + (static_cast<int64_t>(group) * g.k + first_column) * g.gemm_k;
    InputPixel pixels[kRowsA];
#pragma unroll
    for (int i = 0; i < kRowsA; ++i) {
        const int m = first_row + row + i * kStep;
        pixels[i] = m < g.gemm_m ? input_pixel(g, m) : no_pixel();
    }
    float next_a[kRowsA][kVector], next_b[kRowsB][kVector];
    const auto fetch = [&] {
#pragma unroll
        for (int i = 0; i < kRowsA; ++i) {
            const int pixel = pixel_at(g, pixels[i], tap);
            for (float& value : next_a[i]) value = 0.0f;
            if (pixel >= 0) load<kVector>(next_a[i], x + pixel * args.x_pitch + tap.c);
        }
#pragma unroll
        for (int i = 0; i < kRowsB; ++i) {
            const int n = row + i * kStep;
            for (float& value : next_b[i]) value = 0.0f;
            if (n < g.k - first_column && k < g.gemm_k) {
                load<kVector>(next_b[i], w + static_cast<int64_t>(n) * g.gemm_k + k);
            }
        }
        k += kSimtDepth;
        advance(tap, kSimtDepth, g);
    };
    const auto keep = [&](int stage) {
        float* a = shared + stage % 2 * kStageFloats;
        float* b = a + Panel<kBlockM>::kFloats;
#pragma unroll
        for (int i = 0; i < kRowsA; ++i) Panel<kBlockM>::put(a, row + i * kStep, vector, next_a[i]);
#pragma unroll
        for (int i = 0; i < kRowsB; ++i) Panel<kBlockN>::put(b, row + i * kStep, vector, next_b[i]);
    };

    wait_for_previous_kernel();
    fetch();
    keep(0);
    __syncthreads();

    // A thread's rows are in groups of four that lie kBlockM / (thread_m / 4) apart, its columns
    // likewise: then neighbours read neighbouring vectors.
    constexpr int kColumnThreads = kBlockN / kThreadN;
    constexpr int kApartM = kBlockM / (kThreadM / kVector);
    constexpr int kApartN = kBlockN / (kThreadN / kVector);
    const int own_row = static_cast<int>(threadIdx.x) / kColumnThreads * kVector;
    const int own_column = static_cast<int>(threadIdx.x) % kColumnThreads * kVector;
    float sum[kThreadM][kThreadN] = {};
    for (int stage = 0; stage < stages; ++stage) {
        const bool more = stage + 1 < stages;
        if (more) fetch();
        const float* a = shared + stage % 2 * kStageFloats;
        const float* b = a + Panel<kBlockM>::kFloats;
#pragma unroll
        for (int depth = 0; depth < kSimtDepth; ++depth) {
            float rows[kThreadM / kVector][kVector], columns[kThreadN / kVector][kVector];
#pragma unroll
            for (int i = 0; i < kThreadM / kVector; ++i) {
                load<kVector>(rows[i], a + depth * Panel<kBlockM>::kPitch + own_row + i * kApartM);
            }
#pragma unroll
            for (int j = 0; j < kThreadN / kVector; ++j) {
                load<kVector>(columns[j],
                              b + depth * Panel<kBlockN>::kPitch + own_column + j * kApartN);
            }
#pragma unroll
            for (int i = 0; i < kThreadM; ++i) {
#pragma unroll
                for (int j = 0; j < kThreadN; ++j) {
                    sum[i][j] += rows[i / kVector][i % kVector] * columns[j / kVector][j % kVector];
                }
            }
        }
        if (more) keep(stage + 1);  // which everybody stopped reading before the last barrier
        __syncthreads();
    }

    const int end = (group + 1) * g.k;
#pragma unroll
    for (int i = 0; i < kThreadM; ++i) {
        const int m = first_row + i / kVector * kApartM + own_row + i % kVector;
        if (m >= g.gemm_m) continue;
#pragma unroll
        for (int j = 0; j < kThreadN / kVector; ++j) {
            const int column = group * g.k + first_column + j * kApartN + own_column;
            float values[kVector];
#pragma unroll
            for (int v = 0; v < kVector; ++v) values[v] = sum[i][j * kVector + v];
            if (args.partial.data != nullptr) {
                args.partial.part(part).put(m, column, end, values);
            } else {
                args.output.put(m, column, end, values);
            }
        }
    }
}

template <int kTile>
void launch_tile(const GemmArgs& gemm, const Stream& stream) {
    constexpr SimtTile kShape = kSimtTiles[kTile];
    constexpr int64_t kSharedFloats =
        2 * (Panel<kShape.block_m>::kFloats + Panel<kShape.block_n>::kFloats);
    const ConvGeometry& g = gemm.geometry;
    const int split = gemm.conv.plan.split_k;
    const int64_t column_tiles = divide_round_up(g.k, kShape.block_n);
    const Arguments args{
        g,
        static_cast<const float*>(gemm.x),
        static_cast<const float*>(gemm.conv.weights),
        gemm.x_pitch,
        conv_output<float>(gemm.conv),
        partial_sums(gemm),
        static_cast<int>(stages_per_part(divide_round_up(g.gemm_k, kSimtDepth), split)),
        static_cast<int>(column_tiles)};
    const dim3 grid(index32(divide_round_up(g.gemm_m, kShape.block_m) * column_tiles),
                    static_cast<unsigned>(g.groups), static_cast<unsigned>(split));
    launch(conv2d_simt_kernel<kTile>, grid, kShape.threads(), 4 * kSharedFloats, stream, args);
}

}  // namespace

void launch_conv2d_simt(const GemmArgs& gemm, const Stream& stream) {
    static_assert(std::size(kSimtTiles) == 3);
    switch (gemm.conv.plan.tile) {
        case 0: return launch_tile<0>(gemm, stream);
        case 1: return launch_tile<1>(gemm, stream);
        default: return launch_tile<2>(gemm, stream);
    }
}

}  // namespace pycnn::cuda
