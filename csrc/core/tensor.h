// Shapes, layouts and views. A view does not own memory and knows no op.
#pragma once

#include <cstdint>
#include <string>

namespace pycnn {

// Channels are stored in blocks of 16 inside a program: one AVX-512 register, two AVX2 registers,
// four NEON or SSE registers. One layout for every instruction set.
inline constexpr int64_t kChannelBlock = 16;

// Always four-dimensional; a vector is (N, C, 1, 1).
struct Shape {
    int64_t n = 0, c = 0, h = 0, w = 0;
    bool operator==(const Shape&) const = default;
};

enum class Layout {
    kNchw,     // [n][c][h][w], as in torch; only at the borders of a program
    kNchw16c,  // [n][ceil(C/16)][h][w][16]; lanes beyond C hold unspecified values
};

// Strides are in elements. Both layouts share one address formula:
//   n * image_stride + (c / 16) * block_stride + (c % 16) * channel_stride
//     + h * row_stride + w * pixel_stride
// A blocked view may be a slice of whole channel blocks of a larger tensor (a concatenation written
// in place): then image_stride is the larger tensor's.
struct TensorView {
    float* data = nullptr;
    Shape shape;
    Layout layout = Layout::kNchw16c;
    int64_t image_stride = 0, block_stride = 0, channel_stride = 0, row_stride = 0,
            pixel_stride = 0;
};

// For kernels: always inlined, so that no out-of-line copy compiled for a wider instruction set can
// be linked into the baseline path.
[[gnu::always_inline]] constexpr int64_t divide_round_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
[[gnu::always_inline]] inline int64_t channel_blocks(const TensorView& t) {
    return (t.shape.c + kChannelBlock - 1) / kChannelBlock;
}

std::string to_string(const Shape& shape);

// Elements of memory that a dense tensor takes; throws ShapeError when negative or beyond 2^46.
int64_t storage_elems(const Shape& shape, Layout layout);

// The view of a dense tensor, or of the first `shape.c` channels of a dense tensor that has
// `buffer_channels` channels (blocked layout only).
TensorView make_view(const Shape& shape, Layout layout, int64_t buffer_channels = 0);

}  // namespace pycnn
