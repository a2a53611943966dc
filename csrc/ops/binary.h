// y = act(a op b), element by element, act = identity or ReLU; either operand may be a constant.
//   add    alpha * a + beta * b        mul    a * b        div    a / b
//   max    the larger; NaN wins        min    the smaller; NaN wins
//   prelu  a, times b where a < 0 (He et al. 2015, "Delving deep", eq. 1)
// Operands are broadcast as in NumPy: wherever one has size 1 and the other has not, along N, C, H
// or W. A constant's N is 1. Shapes: a, b, y (N,C,H,W) NCHW16c. The sum of equal shapes in a
// residual block is the op add (ops/add.h), which convolutions take into their epilogue.
#pragma once

#include <memory>
#include <optional>

#include "core/aligned_buffer.h"
#include "core/cpu_isa.h"
#include "core/task.h"

namespace pycnn::ops {

enum class BinaryKind { kAdd, kMul, kDiv, kMax, kMin, kPrelu };

struct BinaryParams {
    BinaryKind kind = BinaryKind::kAdd;
    float alpha = 1.0f, beta = 1.0f;  // add only
    bool relu = false;
};

struct PackedConstant {
    Shape shape;
    AlignedBuffer values;  // NCHW16c, lanes beyond C zero
    int64_t bytes() const { return values.bytes(); }
};
using PackedConstantPtr = std::shared_ptr<const PackedConstant>;

struct BinaryArgs {
    BinaryParams params;
    TensorView a, b, y;
    PackedConstantPtr constant;  // keeps alive what the constant operand's view points to
};

// `values` are plain (1,C,H,W).
PackedConstantPtr constant_pack(const float* values, const Shape& shape);

Shape binary_output_shape(const Shape& a, const Shape& b);

// The operand that is not given is the constant. A unit is one block of channels of one image.
TaskPtr binary_task(const BinaryParams& params, const std::optional<TensorRef>& a,
                    const std::optional<TensorRef>& b, PackedConstantPtr constant,
                    const TensorRef& y, Isa isa);

}  // namespace pycnn::ops
