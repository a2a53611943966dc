#include "ops/permute.h"

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {

void permute(const ops::PermuteArgs& args, int64_t begin, int64_t end) {
    const TensorView &x = args.x, &y = args.y;
    const int64_t x_plane = x.shape.h * x.shape.w;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t h = unit % y.shape.h, n = unit / y.shape.h;
        const float* image = row_at(x, n, 0, 0);
        for (int64_t c = 0; c < y.shape.c; ++c) {
            // Where the row begins: its index in each of the array's axes, its place in x.
            int64_t index[ops::kPermuteMaxRank], place = 0;
            int64_t rest = (c * y.shape.h + h) * y.shape.w;
            for (int64_t i = args.rank - 1; i >= 0; --i) {
                index[i] = rest % args.sizes[i];
                rest /= args.sizes[i];
                place += index[i] * args.strides[i];
            }
            float* to = row_at(y, n, c / kChannelBlock, h) + c % kChannelBlock;
            for (int64_t w = 0; w < y.shape.w; ++w) {
                const int64_t channel = place / x_plane, pixel = place % x_plane;
                to[w * kChannelBlock] =
                    image[channel / kChannelBlock * x.block_stride + channel % kChannelBlock +
                          pixel / x.shape.w * x.row_stride + pixel % x.shape.w * kChannelBlock];
                for (int64_t i = args.rank - 1; i >= 0; --i) {  // the next index, with its carries
                    place += args.strides[i];
                    if (++index[i] < args.sizes[i]) break;
                    place -= index[i] * args.strides[i];
                    index[i] = 0;
                }
            }
        }
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA
