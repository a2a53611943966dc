// Shared by the files of the extension modules.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <tuple>
#include <vector>

#include "core/tensor.h"

namespace pycnn::bindings {

namespace py = pybind11;

void bind_image(py::module_& m);
void bind_ops(py::module_& m);
void bind_program(py::module_& m);

// Maps the engine's exceptions to those of pycnn/errors.py, for the module that calls it.
void register_errors();

// The elements of a C-contiguous float32 array of that many elements; throws ShapeError otherwise.
const float* floats(const py::array& array, int64_t elems, const char* what);

// (N, C, H, W), or fewer sizes with the trailing ones left out.
Shape to_shape(const std::vector<int64_t>& sizes);
std::tuple<int64_t, int64_t, int64_t, int64_t> from_shape(const Shape& shape);

}  // namespace pycnn::bindings
