// csrc/cuda/device.h on the host: device memory is host memory, a launch computes at once in the
// block emulator, a graph is replayed. Linked in place of csrc/cuda/device.cpp it makes a `_cuda`
// with which whole networks run on machines without a GPU.
#include "cuda/device.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "cuda/process.h"

struct CUstream_st {};
struct CUevent_st {
    std::chrono::steady_clock::time_point time;
};

namespace pycnn::cuda {
namespace {

constexpr int64_t kMemoryBytes = int64_t{2} << 30;
std::atomic<int64_t> used_bytes{0};

std::byte* allocate(int64_t bytes, const std::string& what, const char* where) {
    if (bytes == 0) return nullptr;
    if (used_bytes + bytes > kMemoryBytes) {
        throw DeviceError(str("CUDA: out of ", where, " memory: ", bytes, " bytes wanted for ",
                              what, "; the device has ", kMemoryBytes - used_bytes, " of ",
                              kMemoryBytes, " bytes free"));
    }
    void* data = nullptr;
    if (posix_memalign(&data, 256, static_cast<size_t>(bytes)) != 0) throw std::bad_alloc();
    std::memset(data, 0xFF, static_cast<size_t>(bytes));  // NaN: what is not written is not read
    used_bytes += bytes;
    return static_cast<std::byte*>(data);
}

void release(std::byte* data, int64_t bytes) {
    if (data == nullptr) return;
    used_bytes -= bytes;
    std::free(data);
}

}  // namespace

Support support() {
    check_not_forked();
    use_in_this_process();
    return {13000,
            13000,
            "",
            {{"block emulator", 8, 0, 4, 99 << 10, kMemoryBytes, 1 << 20},
             {"block emulator of Hopper", 9, 0, 4, 227 << 10, kMemoryBytes, 1 << 20}}};
}

DeviceGuard::DeviceGuard(int) { use_in_this_process(); }
DeviceGuard::~DeviceGuard() = default;

DeviceBuffer::DeviceBuffer(int64_t bytes, const std::string& what)
    : data_(allocate(bytes, what, "device")), bytes_(bytes) {}
DeviceBuffer::DeviceBuffer(int64_t bytes, const std::string& what, StreamHandle)
    : DeviceBuffer(bytes, what) {}
DeviceBuffer::~DeviceBuffer() { release(data_, bytes_); }

PinnedBuffer::PinnedBuffer(int64_t bytes, const std::string&) {
    data_ = static_cast<std::byte*>(std::malloc(static_cast<size_t>(bytes)));
}
PinnedBuffer::~PinnedBuffer() { std::free(data_); }

OwnStream::OwnStream() : handle_(new CUstream_st) {}
OwnStream::~OwnStream() { delete handle_; }

Event::Event(bool) : handle_(new CUevent_st) {}
Event::~Event() { delete handle_; }
void Event::record(StreamHandle) { handle_->time = std::chrono::steady_clock::now(); }
void Event::make_wait(StreamHandle) const {}
void Event::synchronize() const {}
double Event::seconds_since(const Event& earlier) const {
    return std::chrono::duration<double>(handle_->time - earlier.handle_->time).count();
}

Graph::Graph(StreamHandle, const std::function<void(StreamHandle)>& enqueue) : replay_(enqueue) {}
Graph::Graph(Graph&&) noexcept = default;
Graph::~Graph() = default;
void Graph::launch(StreamHandle stream) const { replay_(stream); }

void copy(void* to, const void* from, int64_t bytes, Copy, StreamHandle) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
}
void fill(void* data, uint8_t byte, int64_t bytes, StreamHandle) {
    std::memset(data, byte, static_cast<size_t>(bytes));
}
void synchronize(StreamHandle) {}

}  // namespace pycnn::cuda
