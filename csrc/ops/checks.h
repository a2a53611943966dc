// Checks that several fronts share. `op` and `what` name the place in the message.
#pragma once

#include "core/error.h"
#include "core/task.h"

namespace pycnn::ops {

inline void check_shape(const char* op, const char* what, const Shape& got, const Shape& expected) {
    PYCNN_CHECK(got == expected, ShapeError, op, ": ", what, " has shape ", to_string(got),
                ", expected ", to_string(expected));
}

inline void check_blocked(const char* op, const char* what, const TensorRef& ref) {
    PYCNN_CHECK(ref.view.layout == Layout::kNchw16c, ShapeError, op, ": ", what,
                " must be in the blocked layout NCHW16c");
}

inline void check_not_empty(const char* op, const Shape& x) {
    PYCNN_CHECK(x.n > 0 && x.c > 0 && x.h > 0 && x.w > 0, ShapeError, op, ": the input ",
                to_string(x), " is empty");
}

}  // namespace pycnn::ops
