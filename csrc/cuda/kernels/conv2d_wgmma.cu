// Implicit GEMM on Hopper's tensor cores (compute capability 9.0): wgmma, fed by the copy engine.
//
// A block has three warpgroups. One thread of the first, the producer, asks the copy engine for a
// stage of A (im2col: 128 output pixels' inputs at one tap) and of B (block_n channels' weights);
// the other two, the consumers, multiply 64 rows each. Two barriers for each slot of the ring keep
// them apart: `full` ends a phase when the bytes of both have arrived, `empty` when all eight
// consumer warps have read them. Blocks are persistent: while the consumers write a tile, the
// producer fetches the next one's stages. docs/cuda.md has a figure.
//
// Why it is right:
// - A slot is written only after `empty`'s phase of the round before has ended, that is after each
//   consumer warp has waited for the products that read it; it is read only after `full`'s phase of
//   this round. Producer and consumers walk the same items and stages, so their RingPositions
//   agree.
// - A phase of `full` has one arrival, the producer's, and as many bytes as two boxes have: the
//   engine counts whole boxes, zeros included.
// - The consumers wait for all their products before they read the sums. The slabs of the epilogue
//   are their own warps', beside the ring.
// - Every thread waits for the kernel before this one; so what the engine is asked for, the
//   residual, and the memory that y overwrites, are all complete or no longer read.
//
// It has run in the emulator, whose copy engine, barriers and wgmma are written from the PTX
// manual, and never on a device: what only a device can show is in docs/cuda.md.
#include "cuda/kernels/conv2d_launchers.h"
#include "cuda/kernels/conv2d_wgmma.h"
#include "cuda/kernels/hopper.h"
#include "cuda/kernels/launch.h"

namespace pycnn::cuda {
namespace {

constexpr int kWarpgroup = 128, kConsumers = 2, kThreads = (1 + kConsumers) * kWarpgroup;
constexpr int kConsumerWarps = kConsumers * kWarpgroup / 32;
constexpr int kRowsOfConsumer = kWgmmaBlockM / kConsumers;
// 65,536 registers for 384 threads: what a consumer's sums need, the producer leaves.
constexpr int kProducerRegisters = 40, kConsumerRegisters = 232;

template <class T>
struct Arguments {
    TensorMap input, weights;
    ConvGeometry geometry;
    WorkList work;
    ConvOutput<T> output;
    PartialSums partial;
    int part_stages;  // of one part of a split
};

// Where things lie in shared memory, from a multiple of 1024 on.
template <int kTile>
struct Layout {
    static constexpr WgmmaTile kShape = kWgmmaTiles[kTile];
    static constexpr int kBytesA = kWgmmaBlockM * kWgmmaRowBytes;
    static constexpr int kBytesB = kShape.block_n * kWgmmaRowBytes;
    static constexpr int kStageBytes = kBytesA + kBytesB;
    static constexpr int kSlabs = kShape.stages * kStageBytes;
    static constexpr int kBarriers = kSlabs + kConsumerWarps * kSlabFloats * 4;
    static constexpr int kBytes =
        kBarriers + 2 * kShape.stages * static_cast<int>(sizeof(MemoryBarrier));
    static_assert(kStageBytes % 1024 == 0 && kBytes <= 227 << 10);
};

template <class Type, int kTile>
__global__ void __launch_bounds__(kThreads, 1)
    conv2d_wgmma_kernel(const __grid_constant__ Arguments<typename Type::Storage> args) {
    using T = typename Type::Storage;
    using Place = Layout<kTile>;
    constexpr int kBlockN = Place::kShape.block_n, kStages = Place::kShape.stages;
    constexpr int kDepth = kWgmmaRowBytes / static_cast<int>(sizeof(T));

    auto* shared = static_cast<unsigned char*>(dynamic_shared());
    auto* full = reinterpret_cast<MemoryBarrier*>(shared + Place::kBarriers);
    MemoryBarrier* empty = full + kStages;
    const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
    const int warp = static_cast<int>(threadIdx.x) % kWarpgroup / 32;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const ConvGeometry& g = args.geometry;
    const WgmmaStages all = wgmma_stages(g, kDepth);

    if (threadIdx.x == 0) {
        prefetch(&args.input);
        prefetch(&args.weights);
        for (int i = 0; i < kStages; ++i) {
            init_barrier(full + i, 1);
            init_barrier(empty + i, kConsumerWarps);
        }
        publish_barriers();
    }
    __syncthreads();
    let_next_kernel_start();
    wait_for_previous_kernel();

    const int blocks = static_cast<int>(gridDim.x);
    RingPosition ring;
    if (warpgroup == 0) {
        give_registers<kProducerRegisters>();
        if (threadIdx.x != 0) return;
        for (int index = static_cast<int>(blockIdx.x); index < args.work.count; index += blocks) {
            const WorkItem item = work_item(args.work, index, kBlockN);
            const OutputPixel first = output_pixel(g, item.row);
            const int w = first.q * g.stride_w - g.pad_left, h = first.p * g.stride_h - g.pad_top;
            const int begin = item.part * args.part_stages;
            const int end = min(begin + args.part_stages, all.all);
            for (int stage = begin; stage < end; ++stage) {
                const StageTap tap = stage_tap(g, all, kDepth, stage);
                unsigned char* a = shared + ring.slot * Place::kStageBytes;
                wait(empty + ring.slot, ring.parity ^ 1, "a slot to be empty");
                arrive_expecting(full + ring.slot, Place::kStageBytes);
                copy_im2col(a, &args.input, full + ring.slot, item.group * g.c + tap.c, w, h,
                            first.n, tap.s * g.dilation_w, tap.r * g.dilation_h);
                copy_box(a + Place::kBytesA, &args.weights, full + ring.slot, tap.c,
                         tap.r * g.s + tap.s, item.group * g.k + item.column);
                ring.advance(kStages);
            }
        }
        return;
    }

    take_registers<kConsumerRegisters>();
    const int consumer_row = (warpgroup - 1) * kRowsOfConsumer;
    float* slab = reinterpret_cast<float*>(shared + Place::kSlabs) +
                  ((warpgroup - 1) * kWarpgroup / 32 + warp) * kSlabFloats;
    for (int index = static_cast<int>(blockIdx.x); index < args.work.count; index += blocks) {
        const WorkItem item = work_item(args.work, index, kBlockN);
        const int begin = item.part * args.part_stages;
        const int end = min(begin + args.part_stages, all.all);
        float sum[kBlockN / 8][4];
        MemoryBarrier* reading = nullptr;  // the slot whose products are on their way
        for (int stage = begin; stage < end; ++stage) {
            const uint32_t a = shared_address(shared + ring.slot * Place::kStageBytes);
            uint64_t rows = matrix_descriptor(a + consumer_row * kWgmmaRowBytes);
            uint64_t columns = matrix_descriptor(a + Place::kBytesA);
            wait(full + ring.slot, ring.parity, "a slot to be full");
            begin_products();
#pragma unroll
            for (int step = 0; step < kWgmmaRowBytes / kWgmmaStepBytes; ++step) {
                multiply_add_group(Type{}, sum, rows, columns, stage > begin || step > 0);
                rows += kDescriptorStep;
                columns += kDescriptorStep;
            }
            commit_products();
            if (reading != nullptr) {
                wait_for_products<1>(sum);
                if (lane == 0) arrive(reading);
            }
            reading = empty + ring.slot;
            ring.advance(kStages);
        }
        wait_for_products<0>(sum);
        if (lane == 0) arrive(reading);

        const int row = item.row + consumer_row + warp * kSlabRows;
        const int column = item.group * g.k + item.column, column_end = (item.group + 1) * g.k;
        if (args.partial.data != nullptr) {
            put_fragments(args.partial.part(item.part), slab, sum, row, g.gemm_m, column,
                          column_end);
        } else {
            put_fragments(args.output, slab, sum, row, g.gemm_m, column, column_end);
        }
    }
}

template <class Type, int kTile>
void launch_tile(const GemmArgs& gemm, const Stream& stream) {
    using T = typename Type::Storage;
    constexpr int kBlockN = kWgmmaTiles[kTile].block_n;
    constexpr int kDepth = kWgmmaRowBytes / static_cast<int>(sizeof(T));
    const ConvPlan& plan = gemm.conv.plan;
    const DType dtype = plan.problem.dtype;
    const ConvGeometry& g = gemm.geometry;
    const EffectiveConv conv = effective_conv(plan.problem, plan.packing);
    const int64_t columns = divide_round_up(g.k, kBlockN);
    const int64_t rows = divide_round_up(g.gemm_m, kWgmmaBlockM);
    const int64_t count = index32(columns * rows * g.groups * plan.split_k);
    Arguments<T> args{};
    encode_tensor_map(input_map(dtype, conv, g, gemm.x, gemm.x_pitch), &args.input);
    encode_tensor_map(weight_map(dtype, g, gemm.conv.weights, kBlockN), &args.weights);
    args.geometry = g;
    args.work = {FastDivide(index32(columns)), FastDivide(index32(rows)),
                 FastDivide(static_cast<uint32_t>(g.groups)), static_cast<int>(count)};
    args.output = conv_output<T>(gemm.conv);
    args.partial = partial_sums(gemm);
    args.part_stages = static_cast<int>(stages_per_part(wgmma_stages(g, kDepth).all, plan.split_k));
    const dim3 grid(static_cast<unsigned>(count < plan.sm_count ? count : plan.sm_count));
    launch(conv2d_wgmma_kernel<Type, kTile>, grid, kThreads, Layout<kTile>::kBytes, stream, args);
}

template <class Type>
void launch_type(const GemmArgs& gemm, const Stream& stream) {
    static_assert(std::size(kWgmmaTiles) == 3);
    switch (gemm.conv.plan.tile) {
        case 0: return launch_tile<Type, 0>(gemm, stream);
        case 1: return launch_tile<Type, 1>(gemm, stream);
        default: return launch_tile<Type, 2>(gemm, stream);
    }
}

}  // namespace

void launch_conv2d_wgmma(const GemmArgs& gemm, const Stream& stream) {
    switch (gemm.conv.plan.problem.dtype) {
        case DType::kFloat16: return launch_type<Float16>(gemm, stream);
        case DType::kBfloat16: return launch_type<Bfloat16>(gemm, stream);
        default: return launch_type<Tf32>(gemm, stream);
    }
}

}  // namespace pycnn::cuda
