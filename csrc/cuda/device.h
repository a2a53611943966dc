// GPUs, their memory, streams, events and graphs: all that the device's program needs of a runtime.
// device.cpp has it of the CUDA runtime. tests/cuda_host has it of the host, where a launch
// computes at once: so whole networks run, through this same program, on machines without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

struct CUstream_st;  // CUDA's handles are pointers to these
struct CUevent_st;
struct CUgraphExec_st;

namespace pycnn::cuda {

using StreamHandle = CUstream_st*;

struct DeviceInfo {
    std::string name;
    int major = 0, minor = 0;  // compute capability
    int sm_count = 0;
    int64_t max_shared_bytes = 0;  // of a block
    int64_t memory_bytes = 0, l2_bytes = 0;
};

// What there is, without an opinion on it: pycnn/cuda/device.py says what is missing. Versions are
// CUDA's numbers, 13000 for 13.0; the driver's is 0 where there is none.
struct Support {
    int runtime_version = 0, driver_version = 0;
    std::string error;  // what asking for devices gave, "" where it worked
    std::vector<DeviceInfo> devices;
};
Support support();

// Makes a device this thread's current one, and puts back what was. Throws DeviceError in a process
// that was forked after CUDA was used: CUDA does not survive a fork.
class DeviceGuard {
public:
    explicit DeviceGuard(int device);
    ~DeviceGuard();
    DeviceGuard(const DeviceGuard&) = delete;
    DeviceGuard& operator=(const DeviceGuard&) = delete;

private:
    int previous_ = 0, device_ = 0;
};

// An owned piece of memory; move only, empty after a move. `what` names it in the error: running
// out is a DeviceError that says how much was wanted, and leaves everything else as it was.
class DeviceBuffer {
public:
    DeviceBuffer() = default;
    DeviceBuffer(int64_t bytes, const std::string& what);
    // Ordered on a stream: allocated and freed there without waiting for the device. The stream
    // must outlive the buffer.
    DeviceBuffer(int64_t bytes, const std::string& what, StreamHandle stream);
    DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
    DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
        std::swap(device_, other.device_);
        std::swap(stream_, other.stream_);
        std::swap(ordered_, other.ordered_);
        return *this;
    }
    ~DeviceBuffer();

    std::byte* data() const { return data_; }
    int64_t bytes() const { return bytes_; }

private:
    std::byte* data_ = nullptr;
    int64_t bytes_ = 0;
    int device_ = 0;
    StreamHandle stream_ = nullptr;
    bool ordered_ = false;
};

// Page-locked host memory, which copies to and from the device read without a detour.
class PinnedBuffer {
public:
    PinnedBuffer() = default;
    PinnedBuffer(int64_t bytes, const std::string& what);
    PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
    PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
        std::swap(data_, other.data_);
        return *this;
    }
    ~PinnedBuffer();

    std::byte* data() const { return data_; }

private:
    std::byte* data_ = nullptr;
};

// A stream of our own, which does not wait for the legacy default stream.
class OwnStream {
public:
    OwnStream();
    OwnStream(OwnStream&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    OwnStream& operator=(OwnStream&&) = delete;
    ~OwnStream();

    StreamHandle handle() const { return handle_; }

private:
    StreamHandle handle_ = nullptr;
};

class Event {
public:
    explicit Event(bool timed = false);
    Event(Event&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Event& operator=(Event&&) = delete;
    ~Event();

    void record(StreamHandle stream);
    void make_wait(StreamHandle stream) const;  // what is queued there later comes after the event
    void synchronize() const;
    double seconds_since(const Event& earlier) const;  // of two timed events that have passed

private:
    CUevent_st* handle_ = nullptr;
};

// Work that was queued once and is launched as a whole.
class Graph {
public:
    // `enqueue` queues the work on the stream that it is given, and on streams that wait for it. It
    // may be called, and the work run, more than once.
    Graph(StreamHandle stream, const std::function<void(StreamHandle)>& enqueue);
    Graph(Graph&&) noexcept;
    Graph& operator=(Graph&&) = delete;
    ~Graph();

    void launch(StreamHandle stream) const;

private:
    CUgraphExec_st* handle_ = nullptr;
    std::function<void(StreamHandle)> replay_;  // where the runtime has no graphs
};

enum class Copy { kToDevice, kToHost, kOnDevice };
void copy(void* to, const void* from, int64_t bytes, Copy kind, StreamHandle stream);
void fill(void* data, uint8_t byte, int64_t bytes, StreamHandle stream);
void synchronize(StreamHandle stream);

// Gives back what ordered buffers of this device have left for later ones.
void trim_results(int device);

}  // namespace pycnn::cuda
