// Implicit GEMM on tensor cores by mma.sync, for every GPU from compute capability 8.0 on.
//
// A block computes a tile of block_m output pixels by block_n output channels. Its threads copy a
// stage of A and B (64 bytes of each row) to shared memory while they multiply another one that has
// arrived: a ring of `stages`, one barrier for each. Each warp has a part of the tile in registers.
// Where the tiles are too few for the machine, gemm_k is cut into parts that other blocks sum, and
// a second kernel adds the parts in order. docs/cuda.md has a figure.
#include "cuda/kernels/conv2d_launchers.h"
#include "cuda/kernels/conv2d_tiles.h"
#include "cuda/kernels/launch.h"

namespace pycnn::cuda {
namespace {

template <class T>
struct Arguments {
    ConvGeometry geometry;
    const T* x;
    const T* weights;
    int64_t x_pitch;
    ConvOutput<T> output;
    PartialSums partial;
    int part_stages;  // of gemm_k, of one part of a split
    int column_tiles;
};

// Copies a block's rows of A and B, a stage at a time. A thread has a chunk of a few rows of each,
// always the same chunk, so that it needs only one tap.
template <class T, int kBlockM, int kBlockN, int kThreads>
struct Loader {
    static constexpr int kElems = kFullVector<T>;  // of a chunk
    static constexpr int kDepth = kStageRowBytes / static_cast<int>(sizeof(T));
    static constexpr int kStep = kThreads / kRowChunks;
    static constexpr int kRowsA = (kBlockM + kStep - 1) / kStep;
    static constexpr int kRowsB = (kBlockN + kStep - 1) / kStep;
    static_assert(kBlockM % kStep == 0 && (kBlockN % kStep == 0 || kBlockN < kStep));

    const ConvGeometry& g;
    const T* x;
    const T* w;
    int64_t x_pitch;
    int chunk, row, k;
    Tap tap;
    InputPixel pixels[kRowsA];
    int columns;  // of the tile that exist

    __device__ __forceinline__ Loader(const Arguments<T>& args, int group, int first_row,
                                      int first_column, int first_stage)
        : g(args.geometry),
          x(args.x + group * args.geometry.c),
          w(args.weights +
            (static_cast<int64_t>(group) * args.geometry.k + first_column) * args.geometry.gemm_k),
          x_pitch(args.x_pitch),
          chunk(static_cast<int>(threadIdx.x) % kRowChunks),
          row(static_cast<int>(threadIdx.x) / kRowChunks),
          k(first_stage * kDepth + chunk * kElems),
          tap(tap_at(args.geometry, k)),
          columns(args.geometry.k - first_column) {
#pragma unroll
        for (int i = 0; i < kRowsA; ++i) {
            const int m = first_row + row + i * kStep;
            pixels[i] = m < g.gemm_m ? input_pixel(g, m) : no_pixel();
        }
    }

    __device__ __forceinline__ void load_stage(unsigned char* a, unsigned char* b) {
#pragma unroll
        for (int i = 0; i < kRowsA; ++i) {
            const int pixel = pixel_at(g, pixels[i], tap);
            const T* from = pixel < 0 ? x : x + pixel * x_pitch + tap.c;
            copy_async(a + swizzled_offset(row + i * kStep, chunk), from, pixel >= 0);
        }
#pragma unroll
        for (int i = 0; i < kRowsB; ++i) {
            const int n = row + i * kStep;
            if (n >= kBlockN) break;
            const bool exists = n < columns && k < g.gemm_k;
            const T* from = exists ? w + static_cast<int64_t>(n) * g.gemm_k + k : x;
            copy_async(b + swizzled_offset(n, chunk), from, exists);
        }
        k += kDepth;
        advance(tap, kDepth, g);
    }
};

template <class Type, int kTile>
__global__ void __launch_bounds__(kMmaTiles[kTile].threads())
    conv2d_mma_kernel(const Arguments<typename Type::Storage> args) {
    using T = typename Type::Storage;
    constexpr MmaTile kShape = kMmaTiles[kTile];
    constexpr int kBlockM = kShape.block_m, kBlockN = kShape.block_n, kStages = kShape.stages;
    constexpr int kWarpM = kShape.warp_m(), kWarpN = kShape.warp_n();
    constexpr int kStageBytes = (kBlockM + kBlockN) * kStageRowBytes;
    constexpr int kStepBytes = 32;  // of a row, that one instruction multiplies
    using Load = Loader<T, kBlockM, kBlockN, kShape.threads()>;
    static_assert(kWarpM % 16 == 0 && kWarpN % kSlabColumns == 0);
    static_assert(kShape.threads() / 32 * kSlabFloats * 4 <= kStages * kStageBytes);

    let_next_kernel_start();
    auto* shared = static_cast<unsigned char*>(dynamic_shared());
    const ConvGeometry& g = args.geometry;
    const int tile_n = static_cast<int>(blockIdx.x) % args.column_tiles;
    const int tile_m = static_cast<int>(blockIdx.x) / args.column_tiles;
    const int group = static_cast<int>(blockIdx.y), part = static_cast<int>(blockIdx.z);
    const int first_row = tile_m * kBlockM, first_column = tile_n * kBlockN;
    const int first_stage = part * args.part_stages;
    const int all_stages = (g.gemm_k + Load::kDepth - 1) / Load::kDepth;
    const int stages = min(args.part_stages, all_stages - first_stage);

    Load loader(args, group, first_row, first_column, first_stage);
    const auto load_stage = [&](int stage) {
        unsigned char* a = shared + stage % kStages * kStageBytes;
        if (stage < stages) loader.load_stage(a, a + kBlockM * kStageRowBytes);
        commit_copies();  // an empty group too: the counts stay the same
    };

    wait_for_previous_kernel();
#pragma unroll
    for (int stage = 0; stage < kStages - 1; ++stage) load_stage(stage);

    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int warp_row = warp / kShape.warps_n * kWarpM;
    const int warp_column = warp % kShape.warps_n * kWarpN;
    const RowChunk of_a = a_fragment(lane), of_b = b_fragment(lane);
    float sum[kWarpM / 16][kWarpN / 8][4] = {};

    for (int stage = 0; stage < stages; ++stage) {
        wait_for_copies<kStages - 2>();
        __syncthreads();  // the stage is here for all, and the one before is no longer read
        load_stage(stage + kStages - 1);
        const unsigned char* a = shared + stage % kStages * kStageBytes;
        const unsigned char* b = a + kBlockM * kStageRowBytes;
#pragma unroll
        for (int step = 0; step < kStageRowBytes / kStepBytes; ++step) {
            const int chunk = step * kStepBytes / kChunkBytes;
            uint32_t rows[kWarpM / 16][4], columns[kWarpN / 8][2];
#pragma unroll
            for (int i = 0; i < kWarpM / 16; ++i) {
                load_matrices(
                    rows[i], a + swizzled_offset(warp_row + i * 16 + of_a.row, chunk + of_a.chunk));
                if constexpr (sizeof(T) == 4) {  // weights were rounded when they were packed
#pragma unroll
                    for (uint32_t& word : rows[i]) word = round_to_tf32(word);
                }
            }
#pragma unroll
            for (int i = 0; i < kWarpN / 8; i += 2) {
                uint32_t two[4];
                load_matrices(
                    two, b + swizzled_offset(warp_column + i * 8 + of_b.row, chunk + of_b.chunk));
                columns[i][0] = two[0];
                columns[i][1] = two[1];
                columns[i + 1][0] = two[2];
                columns[i + 1][1] = two[3];
            }
#pragma unroll
            for (int i = 0; i < kWarpM / 16; ++i) {
#pragma unroll
                for (int j = 0; j < kWarpN / 8; ++j) {
                    multiply_add(Type{}, sum[i][j], rows[i], columns[j]);
                }
            }
        }
    }

    wait_for_copies<0>();
    __syncthreads();  // the ring is no longer read, and becomes the warps' slabs
    float* slab = reinterpret_cast<float*>(shared) + warp * kSlabFloats;
    const int end = (group + 1) * g.k;
    const int column = group * g.k + first_column + warp_column;
#pragma unroll
    for (int i = 0; i < kWarpM / 16; ++i) {
        const int row = first_row + warp_row + i * 16;
        if (args.partial.data != nullptr) {
            put_fragments(args.partial.part(part), slab, sum[i], row, g.gemm_m, column, end);
        } else {
            put_fragments(args.output, slab, sum[i], row, g.gemm_m, column, end);
        }
    }
}

template <class Type, int kTile>
void launch_tile(const GemmArgs& gemm, const Stream& stream) {
    using T = typename Type::Storage;
    constexpr MmaTile kShape = kMmaTiles[kTile];
    constexpr int64_t kDepth = kStageRowBytes / sizeof(T);
    const ConvGeometry& g = gemm.geometry;
    const int split = gemm.conv.plan.split_k;
    const int64_t column_tiles = divide_round_up(g.k, kShape.block_n);
    const Arguments<T> args{
        g,
        static_cast<const T*>(gemm.x),
        static_cast<const T*>(gemm.conv.weights),
        gemm.x_pitch,
        conv_output<T>(gemm.conv),
        partial_sums(gemm),
        static_cast<int>(stages_per_part(divide_round_up(g.gemm_k, kDepth), split)),
        static_cast<int>(column_tiles)};
    const dim3 grid(index32(divide_round_up(g.gemm_m, kShape.block_m) * column_tiles),
                    static_cast<unsigned>(g.groups), static_cast<unsigned>(split));
    launch(conv2d_mma_kernel<Type, kTile>, grid, kShape.threads(),
           kShape.stages * (kShape.block_m + kShape.block_n) * kStageRowBytes, stream, args);
}

template <class Type>
void launch_type(const GemmArgs& gemm, const Stream& stream) {
    static_assert(std::size(kMmaTiles) == 4);
    switch (gemm.conv.plan.tile) {
        case 0: return launch_tile<Type, 0>(gemm, stream);
        case 1: return launch_tile<Type, 1>(gemm, stream);
        case 2: return launch_tile<Type, 2>(gemm, stream);
        default: return launch_tile<Type, 3>(gemm, stream);
    }
}

}  // namespace

void launch_conv2d_mma(const GemmArgs& gemm, const Stream& stream) {
    switch (gemm.conv.plan.problem.dtype) {
        case DType::kFloat16: return launch_type<Float16>(gemm, stream);
        case DType::kBfloat16: return launch_type<Bfloat16>(gemm, stream);
        default: return launch_type<Tf32>(gemm, stream);
    }
}

}  // namespace pycnn::cuda
