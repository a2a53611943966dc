// Shared by the files of the extension module `pycnn._cuda`.
#pragma once

#include <string>

#include "bindings/bindings.h"
#include "cuda/kernels.h"

namespace pycnn::bindings {

void bind_cuda_ops(py::module_& m);

cuda::DType parse_dtype(const std::string& name);
const char* dtype_name(cuda::DType dtype);

}  // namespace pycnn::bindings
