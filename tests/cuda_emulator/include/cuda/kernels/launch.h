// Stands in for csrc/cuda/kernels/launch.h: a launch computes at once.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda/kernels.h"

namespace pycnn::cuda {

template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, int threads, int64_t shared_bytes, const Stream&,
            const Args&... args) {
    emulator::run({grid, dim3(static_cast<unsigned>(threads)), shared_bytes},
                  [&] { kernel(Params(args)...); });
}

}  // namespace pycnn::cuda
