// A compiled network: a flat list of tasks over one arena, with inputs and outputs given at each
// run.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/task.h"

namespace pycnn::program {

class Program {
public:
    // Sizes in elements. Buffer 0 is the arena, then come the inputs, then the outputs.
    Program(int64_t arena_elems, std::vector<int64_t> inputs, std::vector<int64_t> outputs);

    // Throws Error when a tensor of the task does not lie inside its buffer.
    void add(std::string name, TaskPtr task);

    // Runs all tasks in order. May be called from several threads at once: each run has an arena of
    // its own, kept for the next run. `poison` fills arena and outputs with that byte first
    // (tests).
    void run(std::span<const float* const> inputs, std::span<float* const> outputs, int threads,
             std::optional<uint8_t> poison = std::nullopt);

    void trim();  // frees the arenas that no run uses

    int64_t arena_bytes() const { return buffer_elems_[0] * 4; }
    int64_t work() const { return work_; }
    const std::vector<std::string>& names() const { return names_; }

private:
    AlignedBuffer take_arena();

    std::vector<int64_t> buffer_elems_;
    size_t num_inputs_;
    std::vector<std::string> names_;
    std::vector<TaskPtr> tasks_;
    int64_t work_ = 0;
    std::mutex mutex_;
    std::vector<AlignedBuffer> free_arenas_;
};

}  // namespace pycnn::program
