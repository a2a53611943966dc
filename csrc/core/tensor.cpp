#include "core/tensor.h"

#include "core/error.h"

namespace pycnn {
namespace {

// 2^46 floats are 256 TiB: far beyond any machine, far below overflow of a later multiplication
// by 4.
constexpr int64_t kMaxElems = int64_t{1} << 46;

int64_t checked_product(std::initializer_list<int64_t> factors, const Shape& shape) {
    int64_t product = 1;
    for (int64_t factor : factors) {
        PYCNN_CHECK(factor >= 0, ShapeError, "shape ", to_string(shape), " has a negative size");
        PYCNN_CHECK(!__builtin_mul_overflow(product, factor, &product) && product <= kMaxElems,
                    ShapeError, "a tensor of shape ", to_string(shape), " is too large to address");
    }
    return product;
}

}  // namespace

std::string to_string(const Shape& shape) {
    return str("(", shape.n, ", ", shape.c, ", ", shape.h, ", ", shape.w, ")");
}

int64_t storage_elems(const Shape& shape, Layout layout) {
    const int64_t channels =
        layout == Layout::kNchw ? shape.c : divide_round_up(shape.c, kChannelBlock) * kChannelBlock;
    return checked_product({shape.n, channels, shape.h, shape.w}, shape);
}

TensorView make_view(const Shape& shape, Layout layout, int64_t buffer_channels) {
    Shape buffer = shape;
    if (buffer_channels > 0) buffer.c = buffer_channels;
    storage_elems(buffer, layout);  // throws when the strides below would overflow
    TensorView view;
    view.shape = shape;
    view.layout = layout;
    if (layout == Layout::kNchw) {
        PYCNN_CHECK(buffer.c == shape.c, ShapeError, "only blocked tensors have channel slices");
        view.pixel_stride = 1;
        view.row_stride = shape.w;
        view.channel_stride = shape.h * shape.w;
        view.block_stride = kChannelBlock * view.channel_stride;
        view.image_stride = shape.c * view.channel_stride;
    } else {
        PYCNN_CHECK(buffer.c >= shape.c, ShapeError, "a slice of ", shape.c,
                    " channels does not fit a buffer of ", buffer.c);
        view.channel_stride = 1;
        view.pixel_stride = kChannelBlock;
        view.row_stride = shape.w * view.pixel_stride;
        view.block_stride = shape.h * view.row_stride;
        view.image_stride = divide_round_up(buffer.c, kChannelBlock) * view.block_stride;
    }
    return view;
}

}  // namespace pycnn
