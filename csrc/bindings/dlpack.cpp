#include "bindings/dlpack.h"

#include <limits>

#include "core/error.h"

namespace pycnn::bindings {
namespace {

constexpr int32_t kCuda = 2, kCudaManaged = 13;  // kDLCUDA, kDLCUDAManaged
constexpr uint8_t kFloat = 2, kBfloat = 4;       // kDLFloat, kDLBfloat

struct Managed {
    DLManagedTensor header{};
    DeviceTensor tensor;
};

const char* dtype_name(const DLTensor& t) {
    if (t.lanes == 1 && t.code == kFloat && t.bits == 32) return "float32";
    if (t.lanes == 1 && t.code == kFloat && t.bits == 16) return "float16";
    if (t.lanes == 1 && t.code == kBfloat && t.bits == 16) return "bfloat16";
    throw ShapeError(str("expected a dtype of float32, float16 or bfloat16, got DLPack's code ",
                         int{t.code}, " of ", int{t.bits}, " bits"));
}

bool is_dense(const DLTensor& t) {
    if (t.strides == nullptr) return true;
    int64_t expected = 1;
    for (int i = t.ndim; i-- > 0;) {
        if (t.shape[i] != 1 && t.strides[i] != expected) return false;
        expected *= t.shape[i];
    }
    return true;
}

}  // namespace

DeviceTensor empty_tensor(const std::vector<int64_t>& shape, int device,
                          cuda::StreamHandle stream) {
    int64_t bytes = 4;
    for (int64_t size : shape) {
        PYCNN_CHECK(size > 0 && size <= std::numeric_limits<int64_t>::max() / bytes, ShapeError,
                    "a result with the sizes ", shape.size(), " is empty or beyond 64 bits");
        bytes *= size;
    }
    const cuda::DeviceGuard guard(device);
    auto buffer = std::make_shared<cuda::DeviceBuffer>(bytes, "a result", stream);
    const auto address = reinterpret_cast<uintptr_t>(buffer->data());
    return {address, shape, "float32", device, std::move(buffer)};
}

DeviceTensor from_capsule(const py::capsule& capsule) {
    PYCNN_CHECK(capsule.name() == std::string("dltensor"), ShapeError,
                "expected a new DLPack capsule, got '", capsule.name(), "'");
    auto* managed = capsule.get_pointer<DLManagedTensor>();
    const DLTensor& t = managed->tensor;
    PYCNN_CHECK(t.device_type == kCuda || t.device_type == kCudaManaged, ShapeError,
                "expected an array on a CUDA device, got DLPack's device type ", t.device_type);
    PYCNN_CHECK(is_dense(t), ShapeError, "expected a C-contiguous array: call .contiguous() first");
    DeviceTensor found{reinterpret_cast<uintptr_t>(t.data) + t.byte_offset,
                       {t.shape, t.shape + t.ndim},
                       dtype_name(t),
                       t.device_id,
                       nullptr};
    found.owner = std::shared_ptr<const void>(managed, [managed](const void*) {
        if (managed->deleter == nullptr) return;
        const py::gil_scoped_acquire acquire;  // the producer's deleter may need it
        managed->deleter(managed);
    });
    PyCapsule_SetName(capsule.ptr(), "used_dltensor");
    return found;
}

py::capsule to_capsule(const DeviceTensor& tensor) {
    auto made = std::make_unique<Managed>();
    made->tensor = tensor;
    made->header = {{reinterpret_cast<void*>(tensor.address), kCuda, tensor.device,
                     static_cast<int32_t>(tensor.shape.size()), kFloat, 32, 1,
                     made->tensor.shape.data(), nullptr, 0},
                    made.get(),
                    [](DLManagedTensor* self) { delete static_cast<Managed*>(self->context); }};
    py::capsule capsule(&made->header, "dltensor", [](PyObject* object) {
        // Nobody took it.
        if (!PyCapsule_IsValid(object, "dltensor")) return;
        auto* header = static_cast<DLManagedTensor*>(PyCapsule_GetPointer(object, "dltensor"));
        header->deleter(header);
    });
    made.release();
    return capsule;
}

}  // namespace pycnn::bindings
