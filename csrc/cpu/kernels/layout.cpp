#include "ops/layout.h"

#include <cstring>

#include "cpu/kernels/rows.h"
#include "cpu/kernels/table.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {
namespace {

typedef float Four __attribute__((vector_size(16)));

// Lanes 0..3 are a's, 4..7 b's.
template <int I, int J, int K, int L>
PYCNN_INLINE Four shuffle(Four a, Four b) {
#if defined(__clang__)
    return __builtin_shufflevector(a, b, I, J, K, L);
#else
    typedef int32_t FourInts __attribute__((vector_size(16)));
    return __builtin_shuffle(a, b, FourInts{I, J, K, L});
#endif
}

// to[j][i] = from[i][j], both 4 x 4.
PYCNN_INLINE void transpose_4x4(const float* from, int64_t from_stride, float* to,
                                int64_t to_stride) {
    Four row[4];
    PYCNN_UNROLL for (int i = 0; i < 4; ++i) {
        std::memcpy(&row[i], from + i * from_stride, sizeof(Four));
    }
    const Four low01 = shuffle<0, 4, 1, 5>(row[0], row[1]);
    const Four high01 = shuffle<2, 6, 3, 7>(row[0], row[1]);
    const Four low23 = shuffle<0, 4, 1, 5>(row[2], row[3]);
    const Four high23 = shuffle<2, 6, 3, 7>(row[2], row[3]);
    const Four column[4] = {shuffle<0, 1, 4, 5>(low01, low23), shuffle<2, 3, 6, 7>(low01, low23),
                            shuffle<0, 1, 4, 5>(high01, high23),
                            shuffle<2, 3, 6, 7>(high01, high23)};
    PYCNN_UNROLL for (int j = 0; j < 4; ++j) {
        std::memcpy(to + j * to_stride, &column[j], sizeof(Four));
    }
}

// to[j][i] = from[i][j] for i < rows, j < columns.
PYCNN_INLINE void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns,
                            float* to, int64_t to_stride) {
    const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
    for (int64_t i = 0; i < whole_rows; i += 4) {
        for (int64_t j = 0; j < whole_columns; j += 4) {
            transpose_4x4(from + i * from_stride + j, from_stride, to + j * to_stride + i,
                          to_stride);
        }
    }
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j) {
            to[j * to_stride + i] = from[i * from_stride + j];
        }
    }
}

}  // namespace

void layout(const ops::LayoutArgs& args, int64_t begin, int64_t end) {
    const bool from_plain = args.x.layout == Layout::kNchw;
    const int64_t channels = args.x.shape.c;
    const int64_t plane_stride = from_plain ? args.x.channel_stride : args.y.channel_stride;
    auto transpose_row = [=](int64_t block, int64_t pixels, float* y, const float* x) {
        constexpr int64_t kTile = 16;  // pixels: a tile stays in the first-level cache
        const int64_t rest = channels - block * kChannelBlock;
        const int64_t lanes = rest < kChannelBlock ? rest : kChannelBlock;
        for (int64_t p = 0; p < pixels; p += kTile) {
            const int64_t tile = pixels - p < kTile ? pixels - p : kTile;
            if (from_plain) {
                transpose(x + p, plane_stride, lanes, tile, y + p * kChannelBlock, kChannelBlock);
            } else {
                transpose(x + p * kChannelBlock, kChannelBlock, tile, lanes, y + p, plane_stride);
            }
        }
    };
    for_each_row(begin, end, transpose_row, args.y, args.x);
}

}  // namespace pycnn::cpu::PYCNN_ISA
