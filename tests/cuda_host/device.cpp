// csrc/cuda/device.h on the host: device memory is host memory, kernels compute in the block
// emulator, a graph is replayed. Linked in place of csrc/cuda/device.cpp it makes a `_cuda` with
// which whole networks run on machines without a GPU.
//
// A stream is a queue of work. It is done when somebody waits for it, and then no more of other
// streams than it waits for itself; but now and then, by chance, something that could be done
// already. So a result is wrong where the program forgets to wait for a copy, for another stream,
// or for the run before.
#include "cuda/device.h"

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>

#include "core/error.h"
#include "cuda/kernels/launch.h"
#include "cuda/process.h"

namespace {

struct Queue;

// What a recorded event stands for: that a queue has done so much.
struct Mark {
    std::shared_ptr<Queue> queue;
    int64_t position = 0;
    std::chrono::steady_clock::time_point time;
};

struct Work {
    std::function<void()> function;
    std::shared_ptr<Mark> after;  // or null
};

struct Queue {
    std::deque<Work> work;
    int64_t queued = 0, done = 0;

    void push(std::function<void()> function, std::shared_ptr<Mark> after = nullptr) {
        work.push_back({std::move(function), std::move(after)});
        ++queued;
    }
    // What its next work must wait for, null where that is nothing.
    Queue* blocked_by() const {
        const Mark* after = work.front().after.get();
        return after != nullptr && after->queue->done < after->position ? after->queue.get()
                                                                        : nullptr;
    }
    void step() {
        const Work next = std::move(work.front());
        work.pop_front();
        ++done;
        next.function();
    }
};

}  // namespace

struct CUstream_st {};
struct CUevent_st {
    std::shared_ptr<Mark> mark;  // null: never recorded, and so passed
};

namespace pycnn::cuda {
namespace {

constexpr int64_t kMemoryBytes = int64_t{2} << 30;
std::atomic<int64_t> used_bytes{0};

// One thread of the host computes at a time: the emulator has one block.
std::recursive_mutex computing;
std::map<StreamHandle, std::shared_ptr<Queue>> queues;

std::shared_ptr<Queue>& queue_of(StreamHandle stream) {
    static CUstream_st* const legacy = reinterpret_cast<CUstream_st*>(1);  // another name of null
    std::shared_ptr<Queue>& queue = queues[stream == legacy ? nullptr : stream];
    if (!queue) queue = std::make_shared<Queue>();
    return queue;
}

// One time in two.
bool chance() {
    static uint32_t state = 1998;
    state = state * 1664525 + 1013904223;
    return state >> 31 == 0;
}

// Does something that nobody waits for yet; false where there is nothing.
bool step_any() {
    for (const auto& [stream, queue] : queues) {
        if (!queue->work.empty() && queue->blocked_by() == nullptr && chance()) {
            queue->step();
            return true;
        }
    }
    return false;
}

// Does a queue's work up to a position, and of the others' what that waits for.
void advance(Queue& wanted, int64_t position) {
    while (wanted.done < position) {
        if (chance() && step_any()) continue;
        Queue* queue = &wanted;
        while (Queue* other = queue->blocked_by()) queue = other;
        queue->step();
    }
}

void finish(StreamHandle stream) {
    const std::lock_guard lock(computing);
    const std::shared_ptr<Queue> queue = queue_of(stream);
    advance(*queue, queue->queued);
}

// As cudaFree does before it frees.
void finish_all() {
    const std::lock_guard lock(computing);
    for (const auto& [stream, queue] : queues) advance(*queue, queue->queued);
}

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

void queue_work(StreamHandle stream, std::function<void()> work) {
    const std::lock_guard lock(computing);
    queue_of(stream)->push(std::move(work));
}

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
DeviceBuffer::DeviceBuffer(int64_t bytes, const std::string& what, StreamHandle stream)
    : data_(allocate(bytes, what, "device")), bytes_(bytes), stream_(stream), ordered_(true) {}
DeviceBuffer::~DeviceBuffer() {
    if (data_ == nullptr || !is_own_process()) return;
    if (ordered_) {
        queue_work(stream_, [data = data_, bytes = bytes_] { release(data, bytes); });
    } else {
        finish_all();
        release(data_, bytes_);
    }
}

PinnedBuffer::PinnedBuffer(int64_t bytes, const std::string&) {
    data_ = static_cast<std::byte*>(std::malloc(static_cast<size_t>(bytes)));
}
PinnedBuffer::~PinnedBuffer() {
    if (data_ == nullptr || !is_own_process()) return;
    finish_all();
    std::free(data_);
}

OwnStream::OwnStream() : handle_(new CUstream_st) {}
OwnStream::~OwnStream() {
    if (handle_ == nullptr || !is_own_process()) return;
    finish(handle_);
    const std::lock_guard lock(computing);
    queues.erase(handle_);
    delete handle_;
}

Event::Event(bool) : handle_(new CUevent_st) {}
Event::~Event() { delete handle_; }

void Event::record(StreamHandle stream) {
    const std::lock_guard lock(computing);
    const auto mark = std::make_shared<Mark>();
    queue_work(stream, [mark] { mark->time = std::chrono::steady_clock::now(); });
    mark->queue = queue_of(stream);
    mark->position = mark->queue->queued;
    handle_->mark = mark;
}

void Event::make_wait(StreamHandle stream) const {
    const std::lock_guard lock(computing);
    if (const std::shared_ptr<Mark> mark = handle_->mark) {
        queue_of(stream)->push([] {}, mark);
    }
}

void Event::synchronize() const {
    const std::lock_guard lock(computing);
    if (const std::shared_ptr<Mark> mark = handle_->mark) advance(*mark->queue, mark->position);
}

double Event::seconds_since(const Event& earlier) const {
    const auto elapsed = handle_->mark->time - earlier.handle_->mark->time;
    return std::chrono::duration<double>(elapsed).count();
}

Graph::Graph(StreamHandle, const std::function<void(StreamHandle)>& enqueue) : replay_(enqueue) {}
Graph::Graph(Graph&&) noexcept = default;
Graph::~Graph() = default;
void Graph::launch(StreamHandle stream) const { replay_(stream); }

void copy(void* to, const void* from, int64_t bytes, Copy, StreamHandle stream) {
    queue_work(stream, [=] { std::memcpy(to, from, static_cast<size_t>(bytes)); });
}
void fill(void* data, uint8_t byte, int64_t bytes, StreamHandle stream) {
    queue_work(stream, [=] { std::memset(data, byte, static_cast<size_t>(bytes)); });
}
void synchronize(StreamHandle stream) { finish(stream); }
void trim_results(int) {}

}  // namespace pycnn::cuda
