#include "ops/gather.h"

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

// The block of x whose channels are, in order, the `lanes` that a block of y wants; -1 if there is
// none.
PYCNN_INLINE int64_t whole_block(const int64_t* channels, int64_t lanes) {
    if (channels[0] < 0 || channels[0] % kChannelBlock != 0) return -1;
    for (int64_t i = 1; i < lanes; ++i) {
        if (channels[i] != channels[0] + i) return -1;
    }
    return channels[0] / kChannelBlock;
}

// `x` is a row of the block, null where all of it is fill.
PYCNN_INLINE void gather_blocks(const float* x, const int64_t* columns, int64_t count, Vec fill,
                                float* y) {
    for (int64_t w = 0; w < count; ++w, y += kChannelBlock) {
        const bool outside = x == nullptr || columns[w] < 0;
        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
            store(y + v * kLanes,
                  outside ? fill : load(x + columns[w] * kChannelBlock + v * kLanes));
        }
    }
}

PYCNN_INLINE void gather_lane(const float* x, const int64_t* columns, int64_t count, float fill,
                              float* y) {
    for (int64_t w = 0; w < count; ++w) {
        y[w * kChannelBlock] =
            x == nullptr || columns[w] < 0 ? fill : x[columns[w] * kChannelBlock];
    }
}

}  // namespace

void gather(const ops::GatherArgs& args, int64_t begin, int64_t end) {
    const TensorView &x = args.x, &y = args.y;
    const int64_t *channels = args.params->channels.data(), *rows = args.params->rows.data(),
                  *columns = args.params->columns.data();
    const float fill = args.params->fill;
    const int64_t blocks = channel_blocks(y);
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t h = unit % y.shape.h, block = unit / y.shape.h % blocks,
                      n = unit / y.shape.h / blocks;
        const int64_t first = block * kChannelBlock, rest = y.shape.c - first;
        const int64_t lanes = rest < kChannelBlock ? rest : kChannelBlock;
        float* to = row_at(y, n, block, h);
        const int64_t source = whole_block(channels + first, lanes);
        if (source >= 0) {
            const float* from = rows[h] < 0 ? nullptr : row_at(x, n, source, rows[h]);
            gather_blocks(from, columns, y.shape.w, broadcast(fill), to);
            continue;
        }
        for (int64_t i = 0; i < lanes; ++i) {
            const int64_t c = channels[first + i];
            const float* from = rows[h] < 0 || c < 0
                                    ? nullptr
                                    : row_at(x, n, c / kChannelBlock, rows[h]) + c % kChannelBlock;
            gather_lane(from, columns, y.shape.w, fill, to + i);
        }
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA
