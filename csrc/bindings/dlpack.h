// Device memory that is exchanged with other libraries without a copy: the structures of DLPack
// (github.com/dmlc/dlpack, the unversioned form that every library reads and writes), and a tensor
// that holds such memory.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "cuda/device.h"

namespace pycnn::bindings {

struct DLTensor {
    void* data;
    int32_t device_type, device_id;
    int32_t ndim;
    uint8_t code, bits;  // of the dtype
    uint16_t lanes;
    int64_t* shape;
    int64_t* strides;  // in elements; null where dense
    uint64_t byte_offset;
};

struct DLManagedTensor {
    DLTensor tensor;
    void* context;
    void (*deleter)(DLManagedTensor*);
};

// A dense tensor in device memory, and what keeps that memory.
struct DeviceTensor {
    uintptr_t address = 0;
    std::vector<int64_t> shape;
    std::string dtype;
    int device = 0;
    std::shared_ptr<const void> owner;
};

// New float32 memory, ordered on a stream, which must outlive it.
DeviceTensor empty_tensor(const std::vector<int64_t>& shape, int device, cuda::StreamHandle stream);

// Takes over what is in a capsule "dltensor". Throws ShapeError where it is not dense, of another
// dtype than float32, float16 and bfloat16, or not on a CUDA device.
DeviceTensor from_capsule(const py::capsule& capsule);
py::capsule to_capsule(const DeviceTensor& tensor);

}  // namespace pycnn::bindings
