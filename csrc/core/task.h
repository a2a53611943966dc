// One step of a program: a kernel with its arguments, over a range of independent work units.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace pycnn {

// Where a tensor lies while a program runs: `offset` elements into one of the program's buffers
// (0 is the arena, then the inputs, then the outputs). `view.data` is null until then.
struct TensorRef {
    int buffer = -1;
    int64_t offset = 0;
    TensorView view;
};

class Task {
public:
    Task(int64_t units, int64_t work) : units_(units), work_(work) {}
    virtual ~Task() = default;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;

    // Computes the units [begin, end). Ranges may run at the same time on different threads, each
    // with a `workspace` of its own of workspace_elems(), aligned to a cache line.
    virtual void run(float* const* buffers, float* workspace, int64_t begin, int64_t end) const = 0;

    int64_t units() const { return units_; }
    int64_t workspace_elems() const { return workspace_elems_; }
    // Multiply-adds, or elements read and written where nothing is multiplied: what the executor
    // weighs against the cost of waking a thread.
    int64_t work() const { return work_; }
    const std::vector<TensorRef>& tensors() const { return tensors_; }

protected:
    std::vector<TensorRef> tensors_;
    int64_t workspace_elems_ = 0;

private:
    int64_t units_, work_;
};

// `Args` is the op's argument struct. Its TensorViews are registered with `bind`, and get their
// addresses for each call, as does its member `workspace` where it has one; everything else is
// fixed when the task is made.
template <class Args>
class OpTask final : public Task {
public:
    using Kernel = void (*)(const Args&, int64_t begin, int64_t end);

    OpTask(Kernel kernel, Args args, int64_t units, int64_t work)
        : Task(units, work), kernel_(kernel), args_(std::move(args)) {}

    OpTask& bind(TensorView Args::* member, const TensorRef& ref) {
        args_.*member = ref.view;
        members_.push_back(member);
        tensors_.push_back(ref);
        return *this;
    }

    OpTask& needs_workspace(int64_t elems) {
        workspace_elems_ = elems;
        return *this;
    }

    void run(float* const* buffers, float* workspace, int64_t begin, int64_t end) const override {
        Args args = args_;
        if constexpr (requires { args.workspace; }) args.workspace = workspace;
        for (size_t i = 0; i < members_.size(); ++i) {
            (args.*members_[i]).data = buffers[tensors_[i].buffer] + tensors_[i].offset;
        }
        kernel_(args, begin, end);
    }

private:
    Kernel kernel_;
    Args args_;
    std::vector<TensorView Args::*> members_;
};

using TaskPtr = std::shared_ptr<const Task>;

}  // namespace pycnn
