// A compiled network: a flat list of tasks over one arena, with inputs and outputs given at each
// run.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/aligned_buffer.h"
#include "core/task.h"
#include "core/thread_pool.h"

namespace pycnn::program {

// Arenas between runs. Nobody waits for it: who finds it in use goes without, so that a fork, which
// may copy it in use by a thread that the child does not have, can block nobody.
class ArenaStore {
public:
    AlignedBuffer take(int64_t elems);  // a kept one, else a new one
    void give_back(AlignedBuffer arena);
    void clear();

private:
    bool acquire();
    void release() { holder_.store(0, std::memory_order_release); }

    std::atomic<int64_t> holder_{0};  // id of the process that holds it, 0 for none
    std::unique_ptr<std::vector<AlignedBuffer>> arenas_ =
        std::make_unique<std::vector<AlignedBuffer>>();
};

class Program {
public:
    // Sizes in elements. Buffer 0 is the arena, then come the inputs, then the outputs.
    Program(int64_t arena_elems, std::vector<int64_t> inputs, std::vector<int64_t> outputs);

    // Tasks of one stage must not depend on each other: they run side by side, without a barrier
    // between them. Stages are added in ascending order. Throws Error when a tensor of the task
    // does not lie inside its buffer.
    void add(std::string name, TaskPtr task, int stage);

    // Runs all tasks in order. May be called from several threads at once: each run has an arena of
    // its own, kept for the next run. `poison` fills arena and outputs with that byte first
    // (tests).
    void run(std::span<const float* const> inputs, std::span<float* const> outputs, int threads,
             std::optional<uint8_t> poison = std::nullopt);

    // Runs once as `run` does and returns the seconds of each task. A stage's time is from when
    // every thread could begin it until every thread had ended it; where it has several tasks each
    // gets the part of it that the threads spent in that task, of what they spent in all. So the
    // clock is all that is added to a run, and all times add up to it.
    std::vector<double> profile(std::span<const float* const> inputs,
                                std::span<float* const> outputs, int threads);

    void trim() { arenas_.clear(); }  // frees the arenas that no run uses

    // Of the arena and the threads' workspaces, for one run.
    int64_t bytes(int threads) const { return 4 * (buffer_elems_[0] + threads * workspace_elems_); }
    int64_t work() const { return work_; }
    const std::vector<std::string>& names() const { return names_; }

private:
    struct Times {
        std::vector<int64_t> begins;  // of each stage, and the end of the last, in ticks
        std::vector<int64_t> busy;    // [thread][task], where stages have several tasks
    };
    void execute(std::span<const float* const> inputs, std::span<float* const> outputs, int threads,
                 std::optional<uint8_t> poison, Times* times);

    std::vector<int64_t> buffer_elems_;
    size_t num_inputs_;
    std::vector<std::string> names_;
    std::vector<TaskPtr> tasks_;
    struct Stage {
        int number;
        size_t begin, end;  // of tasks_
        int64_t work;
    };
    // `busy` is null, or gets what this thread spends in each task.
    void run_stage(const Stage& stage, const Team& team, float* const* buffers, float* workspace,
                   int64_t* busy) const;
    std::vector<Stage> stages_;
    int64_t work_ = 0;
    int64_t workspace_elems_ = 0;  // of one thread: the largest that a task needs
    ArenaStore arenas_;
};

}  // namespace pycnn::program
