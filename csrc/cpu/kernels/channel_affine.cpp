#include "ops/channel_affine.h"

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {

void channel_affine(const ops::ChannelAffineArgs& args, int64_t begin, int64_t end) {
    const bool with_relu = args.params.relu;
    const float *all_scale = args.scale, *all_shift = args.shift;
    auto scale_row = [=](int64_t block, int64_t pixels, float* y, const float* x) {
        Vec scale[kVecs], shift[kVecs];
        PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
            scale[v] = load(all_scale + block * kChannelBlock + v * kLanes);
            shift[v] = load(all_shift + block * kChannelBlock + v * kLanes);
        }
        for (int64_t i = 0; i < pixels * kChannelBlock; i += kChannelBlock) {
            PYCNN_UNROLL for (int v = 0; v < kVecs; ++v) {
                const Vec value = load(x + i + v * kLanes) * scale[v] + shift[v];
                store(y + i + v * kLanes, with_relu ? relu(value) : value);
            }
        }
    };
    for_each_row(begin, end, scale_row, args.y, args.x);
}

}  // namespace pycnn::cpu::PYCNN_ISA
