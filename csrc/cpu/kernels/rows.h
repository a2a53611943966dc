// Walks the planes of element-wise ops. A plane is one block of channels of one image, and the unit
// of work; where no view has gaps between its rows, it is one long row.
#pragma once

#include "core/tensor.h"
#include "cpu/kernels/vec.h"

namespace pycnn::cpu::PYCNN_ISA {

PYCNN_INLINE float* row_at(const TensorView& t, int64_t n, int64_t block, int64_t h) {
    return t.data + n * t.image_stride + block * t.block_stride + h * t.row_stride;
}
PYCNN_INLINE bool has_dense_rows(const TensorView& t) {
    return t.row_stride == t.shape.w * t.pixel_stride;
}

// Calls body(block, pixels, y, x...) with the addresses of each row of the planes [begin, end). All
// views have the same shape.
template <class Body, class... Views>
PYCNN_INLINE void for_each_row(int64_t begin, int64_t end, Body body, const TensorView& y,
                               const Views&... x) {
    const int64_t blocks = channel_blocks(y);
    const bool dense = (has_dense_rows(y) && ... && has_dense_rows(x));
    const int64_t rows = dense ? 1 : y.shape.h;
    const int64_t pixels = dense ? y.shape.h * y.shape.w : y.shape.w;
    for (int64_t unit = begin; unit < end; ++unit) {
        const int64_t block = unit % blocks, n = unit / blocks;
        for (int64_t h = 0; h < rows; ++h) {
            body(block, pixels, row_at(y, n, block, h), row_at(x, n, block, h)...);
        }
    }
}

}  // namespace pycnn::cpu::PYCNN_ISA
