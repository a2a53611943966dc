#include "cuda/device.h"

#include <atomic>

#include "core/error.h"
#include "cuda/check.h"
#include "cuda/process.h"

namespace pycnn::cuda {
namespace {

[[noreturn]] void out_of_memory(int64_t bytes, const std::string& what, const char* where) {
    cudaGetLastError();
    size_t free_bytes = 0, total_bytes = 0;
    CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
    throw DeviceError(str("CUDA: out of ", where, " memory: ", bytes, " bytes wanted for ", what,
                          "; the device has ", free_bytes, " of ", total_bytes, " bytes free"));
}

// Ordered allocations come from a pool of our own: it keeps what is freed, without changing what
// the device's default pool does for other libraries.
cudaMemPool_t result_pool(int device) {
    static std::atomic<cudaMemPool_t> pools[64]{};
    PYCNN_CHECK(device < 64, DeviceError, "CUDA: device ", device, " is beyond the 64th");
    cudaMemPool_t pool = pools[device].load();
    if (pool != nullptr) return pool;
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = device;
    CUDA_CHECK(cudaMemPoolCreate(&pool, &properties));
    uint64_t keep_all = UINT64_MAX;
    CUDA_CHECK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep_all));
    cudaMemPool_t none = nullptr;
    if (!pools[device].compare_exchange_strong(none, pool)) {
        CUDA_CHECK(cudaMemPoolDestroy(pool));
        return none;
    }
    return pool;
}

int current_device() {
    int device = 0;
    CUDA_CHECK(cudaGetDevice(&device));
    return device;
}

DeviceInfo describe(int index) {
    cudaDeviceProp properties{};
    CUDA_CHECK(cudaGetDeviceProperties(&properties, index));
    return {properties.name,
            properties.major,
            properties.minor,
            properties.multiProcessorCount,
            static_cast<int64_t>(properties.sharedMemPerBlockOptin),
            static_cast<int64_t>(properties.totalGlobalMem),
            properties.l2CacheSize};
}

}  // namespace

Support support() {
    check_not_forked();
    Support found;
    CUDA_CHECK(cudaRuntimeGetVersion(&found.runtime_version));
    CUDA_CHECK(cudaDriverGetVersion(&found.driver_version));
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess) {
        cudaGetLastError();
        found.error = str(cudaGetErrorName(error), ", ", cudaGetErrorString(error));
        return found;
    }
    if (count > 0) use_in_this_process();
    for (int i = 0; i < count; ++i) found.devices.push_back(describe(i));
    return found;
}

DeviceGuard::DeviceGuard(int device) : device_(device) {
    use_in_this_process();
    previous_ = current_device();
    if (previous_ != device_) CUDA_CHECK(cudaSetDevice(device_));
}

DeviceGuard::~DeviceGuard() {
    if (previous_ != device_) cudaSetDevice(previous_);  // it was current before: it can be again
}

DeviceBuffer::DeviceBuffer(int64_t bytes, const std::string& what) : bytes_(bytes) {
    PYCNN_CHECK(bytes >= 0, Error, "DeviceBuffer: ", bytes, " bytes wanted for ", what);
    device_ = current_device();
    if (bytes == 0) return;
    void* data = nullptr;
    const cudaError_t error = cudaMalloc(&data, static_cast<size_t>(bytes));
    if (error == cudaErrorMemoryAllocation) out_of_memory(bytes, what, "device");
    CUDA_CHECK(error);
    data_ = static_cast<std::byte*>(data);
}

DeviceBuffer::DeviceBuffer(int64_t bytes, const std::string& what, StreamHandle stream)
    : bytes_(bytes), stream_(stream), ordered_(true) {
    PYCNN_CHECK(bytes > 0, Error, "DeviceBuffer: ", bytes, " bytes wanted for ", what);
    device_ = current_device();
    void* data = nullptr;
    const cudaError_t error =
        cudaMallocFromPoolAsync(&data, static_cast<size_t>(bytes), result_pool(device_), stream);
    if (error == cudaErrorMemoryAllocation) out_of_memory(bytes, what, "device");
    CUDA_CHECK(error);
    data_ = static_cast<std::byte*>(data);
}

DeviceBuffer::~DeviceBuffer() {
    // What cannot be freed (at the end of a process, after a fork) is the driver's to free.
    if (data_ == nullptr || !is_own_process()) return;
    int previous = 0;
    const bool change = cudaGetDevice(&previous) == cudaSuccess && previous != device_;
    if (change) cudaSetDevice(device_);
    if (ordered_) {
        cudaFreeAsync(data_, stream_);
    } else {
        cudaFree(data_);
    }
    if (change) cudaSetDevice(previous);
}

PinnedBuffer::PinnedBuffer(int64_t bytes, const std::string& what) {
    if (bytes == 0) return;
    void* data = nullptr;
    const cudaError_t error =
        cudaHostAlloc(&data, static_cast<size_t>(bytes), cudaHostAllocDefault);
    if (error == cudaErrorMemoryAllocation) out_of_memory(bytes, what, "page-locked host");
    CUDA_CHECK(error);
    data_ = static_cast<std::byte*>(data);
}

PinnedBuffer::~PinnedBuffer() {
    if (data_ != nullptr && is_own_process()) cudaFreeHost(data_);
}

OwnStream::OwnStream() { CUDA_CHECK(cudaStreamCreateWithFlags(&handle_, cudaStreamNonBlocking)); }

OwnStream::~OwnStream() {
    if (handle_ != nullptr && is_own_process()) cudaStreamDestroy(handle_);
}

Event::Event(bool timed) {
    CUDA_CHECK(
        cudaEventCreateWithFlags(&handle_, timed ? cudaEventDefault : cudaEventDisableTiming));
}

Event::~Event() {
    if (handle_ != nullptr && is_own_process()) cudaEventDestroy(handle_);
}

void Event::record(StreamHandle stream) { CUDA_CHECK(cudaEventRecord(handle_, stream)); }

void Event::make_wait(StreamHandle stream) const {
    CUDA_CHECK(cudaStreamWaitEvent(stream, handle_, 0));
}

void Event::synchronize() const { CUDA_CHECK(cudaEventSynchronize(handle_)); }

double Event::seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    CUDA_CHECK(cudaEventElapsedTime(&milliseconds, earlier.handle_, handle_));
    return 1e-3 * milliseconds;
}

Graph::Graph(StreamHandle stream, const std::function<void(StreamHandle)>& enqueue) {
    // A kernel's code is loaded by its first launch, which drivers before CUDA 12.3 refuse in a
    // stream that is captured.
    enqueue(stream);
    // Other threads may go on using CUDA meanwhile.
    CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    cudaGraph_t graph = nullptr;
    try {
        enqueue(stream);
    } catch (...) {
        cudaStreamEndCapture(stream, &graph);  // invalid by now: the first error is the one to tell
        cudaGetLastError();
        if (graph != nullptr) cudaGraphDestroy(graph);
        throw;
    }
    CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
    const cudaError_t error = cudaGraphInstantiate(&handle_, graph, 0);
    cudaGraphDestroy(graph);
    CUDA_CHECK(error);
    const cudaError_t uploaded = cudaGraphUpload(handle_, stream);
    if (uploaded != cudaSuccess) cudaGraphExecDestroy(handle_);
    CUDA_CHECK(uploaded);
}

Graph::Graph(Graph&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

Graph::~Graph() {
    if (handle_ != nullptr && is_own_process()) cudaGraphExecDestroy(handle_);
}

void Graph::launch(StreamHandle stream) const { CUDA_CHECK(cudaGraphLaunch(handle_, stream)); }

void copy(void* to, const void* from, int64_t bytes, Copy kind, StreamHandle stream) {
    const cudaMemcpyKind kinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost,
                                    cudaMemcpyDeviceToDevice};
    CUDA_CHECK(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kinds[static_cast<int>(kind)],
                               stream));
}

void fill(void* data, uint8_t byte, int64_t bytes, StreamHandle stream) {
    CUDA_CHECK(cudaMemsetAsync(data, byte, static_cast<size_t>(bytes), stream));
}

void synchronize(StreamHandle stream) { CUDA_CHECK(cudaStreamSynchronize(stream)); }

void trim_results(int device) {
    const DeviceGuard guard(device);
    CUDA_CHECK(cudaMemPoolTrimTo(result_pool(device), 0));
}

}  // namespace pycnn::cuda
