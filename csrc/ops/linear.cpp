#include "ops/linear.h"

#include "cpu/kernels.h"
#include "ops/checks.h"

namespace pycnn::ops {

Shape linear_output_shape(const Shape& x, const Shape& weight) {
    check_not_empty("linear", x);
    PYCNN_CHECK(x.h == 1 && x.w == 1, ShapeError, "linear: the input ", to_string(x),
                " is an image; flatten it first");
    PYCNN_CHECK(weight.h == 1 && weight.w == 1 && weight.n > 0, ShapeError,
                "linear: the weight must be (out_features, in_features), got ", to_string(weight));
    PYCNN_CHECK(x.c == weight.c, ShapeError, "linear: the input has ", x.c,
                " features, the weight expects ", weight.c);
    return {x.n, weight.n, 1, 1};
}

TaskPtr linear_task(const LinearParams& params, const TensorRef& x, PackedConv2dPtr packed,
                    const TensorRef& y, Isa isa) {
    const Shape out = linear_output_shape(x.view.shape, packed->shape);
    check_blocked("linear", "x", x);
    check_blocked("linear", "y", y);
    check_shape("linear", "y", y.view.shape, out);

    // The rows of the batch become the pixels of one image.
    auto rows_as_pixels = [](TensorRef ref) {
        TensorView& view = ref.view;
        view.shape = {1, view.shape.c, 1, view.shape.n};
        view.pixel_stride = view.row_stride = view.image_stride;
        view.block_stride = kChannelBlock;
        return ref;
    };
    const TensorRef x_pixels = rows_as_pixels(x), y_pixels = rows_as_pixels(y);
    Conv2dParams conv;
    conv.relu = params.relu;
    conv.algorithm = Conv2dAlgorithm::kGemm;
    return conv2d_task(conv, x_pixels, std::move(packed), std::nullopt, y_pixels, isa);
}

}  // namespace pycnn::ops
