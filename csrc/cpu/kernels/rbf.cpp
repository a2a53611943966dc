#include "ops/rbf.h"

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {

void rbf(const ops::RbfArgs& args, int64_t begin, int64_t end) {
    const int64_t blocks = channel_blocks(args.y), in_features = args.x.shape.c;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t block = unit % blocks, n = unit / blocks;
        const float* x = row_at(args.x, n, 0, 0);
        const float* w = args.weights + block * in_features * kChannelBlock;
        // Four sums, one for each of every four inputs: shorter sums round less, and do not wait
        // for each other.
        Vec sum[4][kVecs] = {};
        for (int64_t first = 0; first < in_features; first += kChannelBlock) {
            const int64_t rest = in_features - first;
            const int64_t count = rest < kChannelBlock ? rest : kChannelBlock;
            for (int64_t i = 0; i < count; ++i, w += kChannelBlock) {
                PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                    const Vec difference = x[i] - load(w + v * kLanes);
                    sum[i % 4][v] += difference * difference;
                }
            }
            x += args.x.block_stride;
        }
        float* y = row_at(args.y, n, block, 0);
        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
            store(y + v * kLanes, -((sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v])));
        }
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA
