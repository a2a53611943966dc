#include "program/program.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <new>
#include <unistd.h>
#include <utility>

#include "core/error.h"
#include "core/ticks.h"

namespace pycnn::program {
namespace {

// Below this many multiply-adds waking a second thread costs more than it saves: a whole program,
// and one stage of a program that runs on several.
constexpr int64_t kProgramWorkPerThread = 500'000;
constexpr int64_t kStageWorkPerThread = 20'000;

// One past the last element that the view touches.
int64_t extent(const TensorView& view) {
    const Shape& shape = view.shape;
    const int64_t blocks = divide_round_up(shape.c, kChannelBlock);
    const int64_t last_lane =
        view.layout == Layout::kNchw ? (shape.c - 1) % kChannelBlock : kChannelBlock - 1;
    return (shape.n - 1) * view.image_stride + (blocks - 1) * view.block_stride +
           last_lane * view.channel_stride + (shape.h - 1) * view.row_stride +
           (shape.w - 1) * view.pixel_stride + 1;
}

}  // namespace

bool ArenaStore::acquire() {
    const int64_t self = getpid();
    int64_t holder = 0;
    if (holder_.compare_exchange_strong(holder, self, std::memory_order_acquire)) return true;
    if (holder == self) return false;
    // A fork copied it while a thread of the parent held it. That thread is not here, and what it
    // was doing is half done: leave its list alone, which leaks it, and begin a new one.
    if (!holder_.compare_exchange_strong(holder, self, std::memory_order_acquire)) return false;
    arenas_.release();
    arenas_ = std::make_unique<std::vector<AlignedBuffer>>();
    return true;
}

AlignedBuffer ArenaStore::take(int64_t elems) {
    AlignedBuffer arena;
    if (acquire()) {
        if (!arenas_->empty()) {
            arena = std::move(arenas_->back());
            arenas_->pop_back();
        }
        release();
    }
    return arena.size() == elems ? std::move(arena) : AlignedBuffer(elems);
}

void ArenaStore::give_back(AlignedBuffer arena) {
    if (!acquire()) return;
    try {
        arenas_->push_back(std::move(arena));
    } catch (const std::bad_alloc&) {  // then it is not kept
    }
    release();
}

void ArenaStore::clear() {
    if (!acquire()) return;
    arenas_->clear();
    release();
}

Program::Program(int64_t arena_elems, std::vector<int64_t> inputs, std::vector<int64_t> outputs)
    : buffer_elems_{arena_elems}, num_inputs_(inputs.size()) {
    buffer_elems_.insert(buffer_elems_.end(), inputs.begin(), inputs.end());
    buffer_elems_.insert(buffer_elems_.end(), outputs.begin(), outputs.end());
}

void Program::add(std::string name, TaskPtr task, int stage) {
    for (const TensorRef& ref : task->tensors()) {
        const int64_t buffers = static_cast<int64_t>(buffer_elems_.size());
        PYCNN_CHECK(ref.buffer >= 0 && ref.buffer < buffers, Error, "program: step '", name,
                    "' uses buffer ", ref.buffer, " of ", buffers);
        const int64_t end = ref.offset + extent(ref.view);
        PYCNN_CHECK(ref.offset >= 0 && end <= buffer_elems_[ref.buffer], Error, "program: step '",
                    name, "' uses elements up to ", end, " of buffer ", ref.buffer, ", which has ",
                    buffer_elems_[ref.buffer]);
    }
    PYCNN_CHECK(stages_.empty() || stages_.back().number <= stage, Error, "program: step '", name,
                "' of stage ", stage, " comes after stage ", stages_.back().number);
    if (stages_.empty() || stages_.back().number != stage) {
        stages_.push_back({stage, tasks_.size(), tasks_.size(), 0});
    }
    ++stages_.back().end;
    stages_.back().work += task->work();
    work_ += task->work();
    workspace_elems_ = std::max(workspace_elems_, task->workspace_elems());
    names_.push_back(std::move(name));
    tasks_.push_back(std::move(task));
}

void Program::run(std::span<const float* const> inputs, std::span<float* const> outputs,
                  int threads, std::optional<uint8_t> poison) {
    execute(inputs, outputs, threads, poison, nullptr);
}

std::vector<double> Program::profile(std::span<const float* const> inputs,
                                     std::span<float* const> outputs, int threads) {
    const bool side_by_side = stages_.size() < tasks_.size();
    Times times{std::vector<int64_t>(stages_.size() + 1),
                std::vector<int64_t>(side_by_side ? threads * tasks_.size() : 0)};
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    const int64_t first_tick = ticks();
    execute(inputs, outputs, threads, std::nullopt, &times);
    const int64_t last_tick = ticks();
    const std::chrono::duration<double> whole = Clock::now() - start;
    const double tick = whole.count() / static_cast<double>(last_tick - first_tick);
    // What all threads spent in a task.
    const auto busy = [&](size_t task) {
        int64_t sum = 0;
        for (size_t i = task; i < times.busy.size(); i += tasks_.size()) sum += times.busy[i];
        return static_cast<double>(sum);
    };
    std::vector<double> seconds(tasks_.size());
    for (size_t s = 0; s < stages_.size(); ++s) {
        const auto [number, begin, end, work] = stages_[s];
        const double took = tick * static_cast<double>(times.begins[s + 1] - times.begins[s]);
        double sum = 0;
        for (size_t i = begin; i < end; ++i) sum += busy(i);
        for (size_t i = begin; i < end; ++i) {
            // Of a single task nothing is noted, and of the shortest the clock may see nothing.
            const double part = sum > 0 ? busy(i) / sum : 1.0 / static_cast<double>(end - begin);
            seconds[i] = took * part;
        }
    }
    return seconds;
}

// The tasks' work laid end to end, a thread's share of it is one piece: of most tasks all or
// nothing.
void Program::run_stage(const Stage& stage, const Team& team, float* const* buffers,
                        float* workspace, int64_t* busy) const {
    const bool alone = stage.work < kStageWorkPerThread;
    if (alone && team.index() > 0) return;
    const double threads = alone ? 1 : team.size();
    const double work = static_cast<double>(stage.work);
    const double begin = work * team.index() / threads;
    const double end = work * (team.index() + 1) / threads;
    if (stage.end - stage.begin == 1) busy = nullptr;  // its time is the stage's
    int64_t since = busy ? ticks() : 0;
    double before = 0;
    for (size_t i = stage.begin; i < stage.end; ++i) {
        const Task& task = *tasks_[i];
        const auto unit_at = [&](double work) {
            const double share = (work - before) / std::max<double>(task.work(), 1);
            return std::llround(std::clamp(share, 0.0, 1.0) * task.units());
        };
        // The last thread takes what is left, whatever the rounding.
        const int64_t first = team.index() == 0 ? 0 : unit_at(begin);
        const int64_t last = alone || team.index() == team.size() - 1 ? task.units() : unit_at(end);
        if (first < last) {
            task.run(buffers, workspace, first, last);
            if (busy) {
                const int64_t now = ticks();
                busy[i] = now - std::exchange(since, now);
            }
        }
        before += task.work();
    }
}

void Program::execute(std::span<const float* const> inputs, std::span<float* const> outputs,
                      int threads, std::optional<uint8_t> poison, Times* times) {
    PYCNN_CHECK(
        inputs.size() == num_inputs_ && outputs.size() == buffer_elems_.size() - 1 - num_inputs_,
        Error, "program: got ", inputs.size(), " inputs and ", outputs.size(),
        " outputs, expected ", num_inputs_, " and ", buffer_elems_.size() - 1 - num_inputs_);
    const int64_t useful = std::max<int64_t>(1, work_ / kProgramWorkPerThread);
    const int team_size = static_cast<int>(std::min<int64_t>(threads, useful));
    // The threads' workspaces lie behind the arena.
    AlignedBuffer arena = arenas_.take(buffer_elems_[0] + threads * workspace_elems_);
    std::vector<float*> buffers{arena.data()};
    // Tasks only read their inputs; one pointer type keeps their arguments simple.
    for (const float* input : inputs) buffers.push_back(const_cast<float*>(input));
    buffers.insert(buffers.end(), outputs.begin(), outputs.end());
    if (poison) {
        arena.poison(*poison);
        for (size_t i = 0; i < outputs.size(); ++i) {
            std::memset(outputs[i], *poison, buffer_elems_[1 + num_inputs_ + i] * sizeof(float));
        }
    }

    run_team(team_size, [&](Team& team) {
        float* workspace = buffers[0] + buffer_elems_[0] + team.index() * workspace_elems_;
        int64_t* busy = nullptr;
        if (times && !times->busy.empty()) busy = &times->busy[team.index() * tasks_.size()];
        for (size_t s = 0; s < stages_.size(); ++s) {
            if (s > 0) team.barrier();
            if (times && team.index() == 0) times->begins[s] = ticks();
            run_stage(stages_[s], team, buffers.data(), workspace, busy);
        }
    });
    if (times) times->begins.back() = ticks();

    arenas_.give_back(std::move(arena));
}

}  // namespace pycnn::program
