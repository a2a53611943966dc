// How a kernel is launched, and how a DType becomes a type.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda/check.h"
#include "cuda/kernels.h"

namespace pycnn::cuda {

// The kernel's parameters follow the stream. Nothing is allocated and nothing waited for.
template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, int threads, int64_t shared_bytes,
            const Stream& stream, const Args&... args) {
    constexpr int64_t kSharedWithoutAsking = 48 << 10;
    if (shared_bytes > kSharedWithoutAsking) {
        CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(shared_bytes)));
    }
    cudaLaunchAttribute overlap{};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = dim3(static_cast<unsigned>(threads));
    config.dynamicSmemBytes = static_cast<size_t>(shared_bytes);
    config.stream = stream.handle;
    config.attrs = &overlap;
    config.numAttrs = stream.overlap ? 1 : 0;
    CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, Params(args)...));
}

}  // namespace pycnn::cuda
