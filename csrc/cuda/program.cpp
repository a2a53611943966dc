#include "cuda/program.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace pycnn::cuda {
namespace {

// What is copied into page-locked memory at once: while the device fetches one part, the host
// copies the next.
constexpr int64_t kStagingBytes = 4 << 20;
constexpr int64_t kAlignment = 256;

int64_t aligned(int64_t bytes) { return divide_round_up(bytes, kAlignment) * kAlignment; }

// Bytes from the tensor's first to one past its last.
int64_t extent(const TensorRef& ref) {
    const Shape& s = ref.shape;
    const int64_t elems =
        ref.pitch == 0 ? s.n * s.c * s.h * s.w : (s.n * s.h * s.w - 1) * ref.pitch + s.c;
    return elems * storage_bytes(ref.dtype);
}

}  // namespace

// What a program holds on the device while it is in use.
struct Program::Machine {
    DeviceBuffer arena;
    OwnStream stream, copies;
    std::vector<OwnStream> sides;  // for the steps of a stage beside its first
    std::vector<Event> joins;
    Event fork, done;  // `done`: of the last run, on whatever stream
    std::optional<Graph> graph;
};

// Room for the inputs and outputs of one run with host memory, on both sides.
struct Program::Staging {
    PinnedBuffer host;
    DeviceBuffer device;
    Event ready, done;
};

Program::Program(int device, bool overlap, int64_t arena_bytes, std::vector<int64_t> inputs,
                 std::vector<int64_t> outputs)
    : device_(device), overlap_(overlap), buffer_bytes_{arena_bytes}, num_inputs_(inputs.size()) {
    buffer_bytes_.insert(buffer_bytes_.end(), inputs.begin(), inputs.end());
    buffer_bytes_.insert(buffer_bytes_.end(), outputs.begin(), outputs.end());
}

Program::~Program() {
    try {
        if (machine_) release();
    } catch (const DeviceError&) {
        // A child of a fork, or the end of the process: the driver frees it.
    }
}

void Program::add(std::string name, Task task, int stage, int64_t workspace_offset) {
    PYCNN_CHECK(stages_.empty() || stages_.back().number <= stage, Error, "program: step '", name,
                "' of stage ", stage, " comes after stage ", stages_.back().number);
    const int64_t workspace_end = workspace_offset + task.workspace_bytes;
    PYCNN_CHECK(workspace_offset >= 0 && workspace_offset % kAlignment == 0 &&
                    workspace_end <= buffer_bytes_[0],
                Error, "program: step '", name, "' has its workspace at ", workspace_offset, " to ",
                workspace_end, " of an arena of ", buffer_bytes_[0], " bytes");
    if (stages_.empty() || stages_.back().number != stage) {
        stages_.push_back({stage, steps_.size(), steps_.size()});
    }
    Stage& current = stages_.back();
    for (const TensorRef& ref : task.tensors) {
        const int64_t buffers = static_cast<int64_t>(buffer_bytes_.size());
        PYCNN_CHECK(ref.buffer >= 0 && ref.buffer < buffers, Error, "program: step '", name,
                    "' uses buffer ", ref.buffer, " of ", buffers);
        const int64_t end = ref.offset_bytes + extent(ref);
        PYCNN_CHECK(ref.offset_bytes >= 0 && end <= buffer_bytes_[ref.buffer], Error,
                    "program: step '", name, "' uses bytes up to ", end, " of buffer ", ref.buffer,
                    ", which has ", buffer_bytes_[ref.buffer]);
        const bool is_input = ref.buffer >= 1 && ref.buffer <= static_cast<int>(num_inputs_);
        current.reads_input |= is_input;
        current.writes_output |= ref.buffer > static_cast<int>(num_inputs_);
    }
    ++current.end;
    names_.push_back(std::move(name));
    steps_.push_back({std::move(task), workspace_offset});
}

std::pair<size_t, size_t> Program::captured_stages() const {
    size_t begin = 0, end = stages_.size();
    for (size_t i = 0; i < stages_.size(); ++i) {
        if (stages_[i].reads_input) begin = i + 1;
    }
    for (size_t i = stages_.size(); i-- > 0;) {
        if (stages_[i].writes_output) end = i;
    }
    return {begin, std::max(begin, end)};
}

std::vector<std::string> Program::captured() const {
    const auto [begin, end] = captured_stages();
    if (begin == end) return {};
    return {names_.begin() + stages_[begin].begin, names_.begin() + stages_[end - 1].end};
}

// The arena and all that goes with it; made at the first run, and again after `trim`.
std::shared_ptr<Program::Machine> Program::machine() {
    if (machine_) return machine_;
    auto made = std::make_shared<Machine>();
    made->arena = DeviceBuffer(buffer_bytes_[0], "the arena of a plan");
    size_t widest = 1;
    for (const Stage& stage : stages_) widest = std::max(widest, stage.end - stage.begin);
    for (size_t i = 1; i < widest; ++i) {
        made->sides.emplace_back();
        made->joins.emplace_back();
    }
    machine_ = std::move(made);
    try {
        const auto [begin, end] = captured_stages();
        if (begin < end) {
            std::byte* const arena = machine_->arena.data();
            machine_->graph.emplace(machine_->stream.handle(),
                                    [this, begin, end, arena](StreamHandle stream) {
                                        queue_stages(begin, end, &arena, stream);
                                    });
            machine_->done.record(machine_->stream.handle());  // making a graph may run it
        }
    } catch (...) {
        machine_.reset();
        throw;
    }
    return machine_;
}

void Program::launch(size_t step, std::byte* const* buffers, const Stream& stream) const {
    const Step& s = steps_[step];
    s.task.launch({buffers, buffers[0] + s.workspace_offset}, stream);
}

// A kernel may overlap with the one before it only where that is all that it depends on: both are
// alone in their stages, and in the same part of the run.
void Program::queue_stages(size_t begin, size_t end, std::byte* const* buffers,
                           StreamHandle stream) {
    bool after_one = false;
    for (size_t i = begin; i < end; ++i) {
        const Stage& stage = stages_[i];
        const size_t others = stage.end - stage.begin - 1;
        if (others > 0) machine_->fork.record(stream);
        for (size_t k = 0; k < others; ++k) {
            const StreamHandle side = machine_->sides[k].handle();
            machine_->fork.make_wait(side);
            launch(stage.begin + 1 + k, buffers, {side, false});
            machine_->joins[k].record(side);
        }
        launch(stage.begin, buffers, {stream, overlap_ && after_one && others == 0});
        for (size_t k = 0; k < others; ++k) machine_->joins[k].make_wait(stream);
        after_one = others == 0;
    }
}

void Program::queue(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs,
                    StreamHandle stream, std::optional<uint8_t> poison) {
    PYCNN_CHECK(
        inputs.size() == num_inputs_ && inputs.size() + outputs.size() == buffer_bytes_.size() - 1,
        Error, "program: got ", inputs.size(), " inputs and ", outputs.size(),
        " outputs, expected ", num_inputs_, " and ", buffer_bytes_.size() - 1 - num_inputs_);
    Machine& m = *machine();
    // Until then the arena is in use. Streams are not told apart: handles come again, and one of
    // CUDA's stands for a stream of each thread.
    m.done.make_wait(stream);
    std::vector<std::byte*> buffers{m.arena.data()};
    // Steps only read their inputs; one pointer type keeps their arguments simple.
    for (const std::byte* input : inputs) buffers.push_back(const_cast<std::byte*>(input));
    buffers.insert(buffers.end(), outputs.begin(), outputs.end());
    if (poison) {
        fill(buffers[0], *poison, buffer_bytes_[0], stream);
        for (size_t i = 1 + num_inputs_; i < buffers.size(); ++i) {
            fill(buffers[i], *poison, buffer_bytes_[i], stream);
        }
    }
    const auto [begin, end] = captured_stages();
    queue_stages(0, begin, buffers.data(), stream);
    if (m.graph) m.graph->launch(stream);
    queue_stages(end, stages_.size(), buffers.data(), stream);
    m.done.record(stream);
}

void Program::enqueue(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs,
                      StreamHandle stream, std::optional<uint8_t> poison) {
    const DeviceGuard guard(device_);
    const std::lock_guard lock(mutex_);
    queue(inputs, outputs, stream, poison);
}

// Addresses of the inputs or outputs in device memory; each begins at a multiple of 256.
std::vector<std::byte*> Program::staged(const Staging& staging, bool outputs) const {
    std::vector<std::byte*> found;
    int64_t offset = 0;
    for (size_t i = 1; i < buffer_bytes_.size(); ++i) {
        if ((i > num_inputs_) == outputs) found.push_back(staging.device.data() + offset);
        offset += aligned(buffer_bytes_[i]);
    }
    return found;
}

std::shared_ptr<Program::Staging> Program::stage_inputs(std::span<const std::byte* const> inputs) {
    std::shared_ptr<Staging> staging;
    std::shared_ptr<Machine> used;  // a trim meanwhile must not take the stream away
    {
        const std::lock_guard lock(mutex_);
        used = machine();
        if (!idle_.empty()) {
            staging = std::move(idle_.back());
            idle_.pop_back();
        }
    }
    if (!staging) {
        int64_t bytes = 0;
        for (size_t i = 1; i < buffer_bytes_.size(); ++i) bytes += aligned(buffer_bytes_[i]);
        staging = std::make_shared<Staging>();
        staging->host = PinnedBuffer(bytes, "the copies of inputs and outputs");
        staging->device = DeviceBuffer(bytes, "inputs and outputs");
    }
    const StreamHandle copies = used->copies.handle();
    const std::vector<std::byte*> targets = staged(*staging, false);
    for (size_t i = 0; i < inputs.size(); ++i) {
        const int64_t bytes = buffer_bytes_[1 + i];
        std::byte* const host = staging->host.data() + (targets[i] - staging->device.data());
        for (int64_t at = 0; at < bytes; at += kStagingBytes) {
            const int64_t part = std::min(kStagingBytes, bytes - at);
            std::memcpy(host + at, inputs[i] + at, static_cast<size_t>(part));
            copy(targets[i] + at, host + at, part, Copy::kToDevice, copies);
        }
    }
    staging->ready.record(copies);
    return staging;
}

Program::Ticket Program::submit(std::span<const std::byte* const> inputs,
                                std::optional<uint8_t> poison) {
    PYCNN_CHECK(inputs.size() == num_inputs_, Error, "program: got ", inputs.size(),
                " inputs, expected ", num_inputs_);
    const DeviceGuard guard(device_);
    const std::shared_ptr<Staging> staging = stage_inputs(inputs);
    const std::vector<std::byte*> in = staged(*staging, false), out = staged(*staging, true);
    const std::vector<const std::byte*> const_in(in.begin(), in.end());

    const std::lock_guard lock(mutex_);
    const StreamHandle stream = machine()->stream.handle();
    staging->ready.make_wait(stream);
    queue(const_in, out, stream, poison);
    for (size_t i = 0; i < out.size(); ++i) {
        std::byte* const host = staging->host.data() + (out[i] - staging->device.data());
        copy(host, out[i], buffer_bytes_[1 + num_inputs_ + i], Copy::kToHost, stream);
    }
    staging->done.record(stream);
    Ticket ticket;
    ticket.staging = staging;
    return ticket;
}

void Program::collect(Ticket& ticket, std::span<std::byte* const> outputs) {
    const std::shared_ptr<Staging> staging = std::exchange(ticket.staging, nullptr);
    PYCNN_CHECK(staging != nullptr, Error, "program: this run was collected already");
    const DeviceGuard guard(device_);
    staging->done.synchronize();
    const std::vector<std::byte*> out = staged(*staging, true);
    for (size_t i = 0; i < out.size(); ++i) {
        std::memcpy(outputs[i], staging->host.data() + (out[i] - staging->device.data()),
                    static_cast<size_t>(buffer_bytes_[1 + num_inputs_ + i]));
    }
    const std::lock_guard lock(mutex_);
    idle_.push_back(staging);
}

std::vector<double> Program::profile(std::span<const std::byte* const> inputs) {
    const DeviceGuard guard(device_);
    const std::shared_ptr<Staging> staging = stage_inputs(inputs);
    const std::lock_guard lock(mutex_);
    Machine& m = *machine();
    const StreamHandle stream = m.stream.handle();
    m.done.make_wait(stream);
    staging->ready.make_wait(stream);
    std::vector<std::byte*> buffers{m.arena.data()};
    for (const bool outputs : {false, true}) {
        for (std::byte* data : staged(*staging, outputs)) buffers.push_back(data);
    }
    std::vector<Event> boundaries;
    for (size_t i = 0; i <= steps_.size(); ++i) boundaries.emplace_back(/*timed=*/true);
    boundaries[0].record(stream);
    for (size_t i = 0; i < steps_.size(); ++i) {
        launch(i, buffers.data(), {stream, false});
        boundaries[i + 1].record(stream);
    }
    m.done.record(stream);
    m.done.synchronize();
    std::vector<double> seconds;
    for (size_t i = 0; i < steps_.size(); ++i) {
        seconds.push_back(boundaries[i + 1].seconds_since(boundaries[i]));
    }
    return seconds;
}

void Program::release() {
    const DeviceGuard guard(device_);
    const std::lock_guard lock(mutex_);
    if (machine_) machine_->done.synchronize();
    machine_.reset();
    idle_.clear();
}

void Program::trim() {
    release();
    trim_results(device_);
}

}  // namespace pycnn::cuda
