#include "ops/layout.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {
namespace {

// The row that a flatten writes, seen as the plain image (N,C,H,W) that it is in memory.
TensorRef as_plain_image(const TensorRef& row, const Shape& shape) {
    TensorRef image = row;
    image.view = make_view(shape, Layout::kNchw);
    image.view.image_stride = row.view.image_stride;  // its last block may be padded
    return image;
}

}  // namespace

Shape flatten_output_shape(const Shape& x) {
    check_not_empty("flatten", x);
    storage_elems(x, Layout::kNchw16c);  // throws when the product below would overflow
    return {x.n, x.c * x.h * x.w, 1, 1};
}

TaskPtr layout_task(const TensorRef& x, const TensorRef& y, Isa isa) {
    const Shape& shape = x.view.shape;
    check_not_empty("layout", shape);
    const bool from_plain = x.view.layout == Layout::kNchw;
    const bool to_plain = y.view.layout == Layout::kNchw;
    PYCNN_CHECK(!from_plain || !to_plain, ShapeError,
                "layout: x and y are both plain NCHW: nothing to change");
    const bool flatten = !from_plain && !to_plain;
    check_shape(flatten ? "flatten" : "layout", "y", y.view.shape,
                flatten ? flatten_output_shape(shape) : shape);
    const TensorView& blocked = from_plain ? y.view : x.view;
    auto task = std::make_unique<OpTask<LayoutArgs>>(cpu::kernels(isa).layout, LayoutArgs{},
                                                     shape.n * channel_blocks(blocked),
                                                     2 * storage_elems(shape, Layout::kNchw16c));
    task->bind(&LayoutArgs::x, x);
    task->bind(&LayoutArgs::y, flatten ? as_plain_image(y, shape) : y);
    return task;
}

}  // namespace pycnn::ops
