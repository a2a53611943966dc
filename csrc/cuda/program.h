// A network compiled for a GPU and one shape: steps over one arena. All steps but those that touch
// a caller's memory, the first and the last, are captured into one CUDA graph.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cuda/task.h"

namespace pycnn::cuda {

class Program {
    struct Machine;
    struct Staging;

public:
    // Sizes in bytes. Buffer 0 is the arena, then come the inputs, then the outputs. `overlap`: the
    // device has programmatic dependent launch.
    Program(int device, bool overlap, int64_t arena_bytes, std::vector<int64_t> inputs,
            std::vector<int64_t> outputs);
    ~Program();

    // Steps of one stage must not depend on each other: they may run side by side. Stages are added
    // in ascending order. The step's workspace lies at `workspace_offset` of the arena. Throws
    // Error when something does not lie inside its buffer.
    void add(std::string name, Task task, int stage, int64_t workspace_offset);

    // Device memory in and out: queues one run on the caller's stream and returns at once. Runs of
    // one program come after each other, whatever their streams. `poison` first fills arena and
    // outputs with that byte (tests).
    void enqueue(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs,
                 StreamHandle stream, std::optional<uint8_t> poison = std::nullopt);

    // Host memory in and out, in two halves, so that the copies of one run go on beside the kernels
    // of another. The inputs have been read when `submit` returns; `collect` waits, and ends the
    // run. May be called from several threads.
    class Ticket {
        friend class Program;
        std::shared_ptr<Staging> staging;
    };
    Ticket submit(std::span<const std::byte* const> inputs,
                  std::optional<uint8_t> poison = std::nullopt);
    void collect(Ticket& ticket, std::span<std::byte* const> outputs);

    // Runs once on what `inputs` holds, step after step, and returns the seconds of each.
    std::vector<double> profile(std::span<const std::byte* const> inputs);

    // Waits for what runs, then frees the arena, the graph, the copies' buffers, and what results
    // that are gone have left.
    void trim();

    int device() const { return device_; }
    const std::vector<int64_t>& buffer_bytes() const { return buffer_bytes_; }
    size_t num_inputs() const { return num_inputs_; }
    const std::vector<std::string>& names() const { return names_; }
    // Names of the steps that the graph holds: all that touch the arena alone.
    std::vector<std::string> captured() const;

private:
    struct Step {
        Task task;
        int64_t workspace_offset;
    };
    struct Stage {
        int number;
        size_t begin, end;  // of steps_
        bool reads_input = false, writes_output = false;
    };
    // The stages [first, second) are captured.
    std::pair<size_t, size_t> captured_stages() const;

    std::shared_ptr<Machine> machine();
    void release();
    void queue(std::span<const std::byte* const> inputs, std::span<std::byte* const> outputs,
               StreamHandle stream, std::optional<uint8_t> poison);
    void queue_stages(size_t begin, size_t end, std::byte* const* buffers, StreamHandle stream);
    void launch(size_t step, std::byte* const* buffers, const Stream& stream) const;
    std::shared_ptr<Staging> stage_inputs(std::span<const std::byte* const> inputs);
    std::vector<std::byte*> staged(const Staging& staging, bool outputs) const;

    const int device_;
    const bool overlap_;
    std::vector<int64_t> buffer_bytes_;
    size_t num_inputs_;
    std::vector<std::string> names_;
    std::vector<Step> steps_;
    std::vector<Stage> stages_;

    std::mutex mutex_;  // of what follows; held while work is queued, never while it runs
    std::shared_ptr<Machine> machine_;
    std::vector<std::shared_ptr<Staging>> idle_;
};

}  // namespace pycnn::cuda
