// Every call of the CUDA runtime goes through CUDA_CHECK. Only files of csrc/cuda that CUDA's
// compiler or headers are needed for include this.
#pragma once

#include <cuda_runtime_api.h>

#include "core/error.h"

namespace pycnn::cuda {

[[noreturn]] inline void raise(cudaError_t error, const char* call, const char* file, int line) {
    cudaGetLastError();  // an error that is reported must not be found again by a later call
    throw DeviceError(str("CUDA: ", call, " failed: ", cudaGetErrorName(error), ", ",
                          cudaGetErrorString(error), " (", file, ":", line, ")"));
}

}  // namespace pycnn::cuda

// CUDA_CHECK(cudaStreamSynchronize(stream)); throws DeviceError with the call and its place.
#define CUDA_CHECK(call)                                                       \
    do {                                                                       \
        const cudaError_t cuda_check_error = (call);                           \
        if (cuda_check_error != cudaSuccess) [[unlikely]] {                    \
            ::pycnn::cuda::raise(cuda_check_error, #call, __FILE__, __LINE__); \
        }                                                                      \
    } while (false)
