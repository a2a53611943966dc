#include "emulator.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>

#include "fiber.h"

namespace emulator {
namespace {

constexpr size_t kStackBytes = 256 << 10;  // ASan makes frames large
constexpr unsigned char kPoison = 0xFF;    // NaN in every floating-point type

struct Copy {
    void* to;
    const void* from;
    int bytes, from_bytes;
    void run() const {
        std::memcpy(to, from, static_cast<size_t>(from_bytes));
        std::memset(static_cast<char*>(to) + from_bytes, 0,
                    static_cast<size_t>(bytes - from_bytes));
    }
};

enum class State { kReady, kPolling, kAtBarrier, kInCollective, kDone };

struct Thread {
    Place place;
    State state = State::kReady;
    std::string waits_for;
    int barrier_id = 0;
    bool waited_for_previous = false;
    std::vector<Copy> open_copies;
    std::deque<std::vector<Copy>> copy_groups;
    Fiber fiber;
};

struct Gathering {
    const char* name = nullptr;
    int arrived = 0;
    std::vector<void*> arguments;
};

struct Block {
    const std::function<void()>* kernel = nullptr;
    std::vector<Thread> threads;
    void* shared = nullptr;
    int64_t shared_bytes = 0;
    int arrived[16] = {}, expected[16] = {};
    // By first thread, of warps and of warpgroups: while one warp waits for its lanes, the others
    // of its warpgroup may be ahead.
    std::vector<Gathering> warps, warpgroups;
    std::string failure;
    bool progressed = false;
};

Block* block = nullptr;
Thread* current = nullptr;
Order order = Order::kAscending;

std::string where(const Thread& t) {
    const dim3 b = t.place.block;
    return "block (" + std::to_string(b.x) + "," + std::to_string(b.y) + "," + std::to_string(b.z) +
           ") thread " + std::to_string(t.place.thread.x);
}

void leave() { current->fiber.leave(); }

void wait(State state, std::string what) {
    current->state = state;
    current->waits_for = std::move(what);
    leave();
}

void thread_main() {
    (*block->kernel)();
    if (!current->copy_groups.empty() || !current->open_copies.empty()) {
        fail("ended with asynchronous copies that nobody waited for");
    }
    require_waited_for_previous("ended");
    current->state = State::kDone;
    block->progressed = true;
    leave();
}

std::string describe_deadlock() {
    std::string text = "the block cannot go on:";
    int shown = 0, ended = 0;
    std::string last;
    for (const Thread& t : block->threads) {
        if (t.state == State::kDone) {
            ++ended;
        } else if (t.waits_for != last && shown < 8) {
            last = t.waits_for;
            ++shown;
            text += " " + where(t) + " waits for " + t.waits_for + ";";
        }
    }
    return text + " " + std::to_string(ended) + " of " + std::to_string(block->threads.size()) +
           " threads have ended";
}

void run_block() {
    const size_t count = block->threads.size();
    for (;;) {
        block->progressed = false;
        bool all_done = true, any_ran = false;
        for (size_t i = 0; i < count; ++i) {
            Thread& t = block->threads[order == Order::kAscending ? i : count - 1 - i];
            if (t.state == State::kDone) continue;
            all_done = false;
            if (t.state != State::kReady && t.state != State::kPolling) continue;
            any_ran = true;
            t.state = State::kReady;
            current = &t;
            t.fiber.enter();
            if (!block->failure.empty()) throw std::runtime_error(block->failure);
        }
        if (all_done) return;
        if (!any_ran || !block->progressed) throw std::runtime_error(describe_deadlock());
    }
}

}  // namespace

const Place& place() { return current->place; }
void set_order(Order value) { order = value; }
void* shared_memory() { return block->shared; }
int64_t shared_bytes() { return block->shared_bytes; }

void fail(const std::string& message) {
    block->failure = where(*current) + ": " + message;
    current->state = State::kDone;
    leave();
}

void barrier(int id, int count) {
    if (id < 0 || id >= 16) fail("barrier " + std::to_string(id) + " does not exist");
    if (count <= 0 || count % kWarpSize != 0) fail("a barrier for " + std::to_string(count));
    int& arrived = block->arrived[id];
    if (arrived > 0 && block->expected[id] != count) fail("a barrier with two numbers of threads");
    block->expected[id] = count;
    block->progressed = true;
    if (++arrived < count) {
        current->barrier_id = id;
        wait(State::kAtBarrier, "barrier " + std::to_string(id));
        return;
    }
    arrived = 0;
    for (Thread& t : block->threads) {
        if (t.state == State::kAtBarrier && t.barrier_id == id) t.state = State::kReady;
    }
}

void collective(const char* name, int size, void* argument, Collective operation) {
    const int thread = static_cast<int>(current->place.thread.x);
    const int first = thread / size * size;
    auto& gatherings = size == kWarpSize ? block->warps : block->warpgroups;
    Gathering& g = gatherings[static_cast<size_t>(first)];
    if (g.arrived == 0) {
        g.name = name;
        g.arguments.resize(static_cast<size_t>(size));
    } else if (std::strcmp(g.name, name) != 0) {
        fail(std::string("is at ") + name + " while others of its warp are at " + g.name);
    }
    g.arguments[static_cast<size_t>(thread - first)] = argument;
    block->progressed = true;
    if (++g.arrived < size) {
        wait(State::kInCollective, name);
        return;
    }
    g.arrived = 0;
    operation(g.arguments.data());
    for (int i = 0; i < size; ++i) {
        Thread& t = block->threads[static_cast<size_t>(first + i)];
        if (&t != current) t.state = State::kReady;
    }
}

void wait_for_previous() { current->waited_for_previous = true; }
void require_waited_for_previous(const char* what) {
    if (!current->waited_for_previous) {
        fail(std::string(what) + " without having waited for the kernel before");
    }
}

void poll(const char* what) { wait(State::kPolling, what); }
void progress() { block->progressed = true; }

void queue_copy(void* to, const void* from, int bytes, int from_bytes) {
    current->open_copies.push_back({to, from, bytes, from_bytes});
}

void commit_copies() {
    current->copy_groups.push_back(std::move(current->open_copies));
    current->open_copies.clear();
}

void wait_copies(int groups_left) {
    while (static_cast<int>(current->copy_groups.size()) > groups_left) {
        for (const Copy& copy : current->copy_groups.front()) copy.run();
        current->copy_groups.pop_front();
    }
}

void run(const LaunchShape& shape, const std::function<void()>& kernel) {
    if (shape.block.x % kWarpSize != 0 || shape.block.y != 1 || shape.block.z != 1) {
        throw std::runtime_error("blocks are one row of whole warps here");
    }
    if (shape.block.x > 1024 || shape.grid.y > 65535 || shape.grid.z > 65535) {
        throw std::runtime_error("a launch beyond CUDA's limits");
    }
    if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) {
        throw std::runtime_error("a launch of an empty grid");
    }
    Block b;
    b.kernel = &kernel;
    b.threads = std::vector<Thread>(shape.block.x);
    b.warps.resize(shape.block.x);
    b.warpgroups.resize(shape.block.x);
    b.shared_bytes = shape.shared_bytes;
    // Of exactly this size, for AddressSanitizer.
    const size_t bytes = static_cast<size_t>(shape.shared_bytes > 0 ? shape.shared_bytes : 1);
    if (posix_memalign(&b.shared, 1024, bytes) != 0) throw std::bad_alloc();
    const std::unique_ptr<void, decltype(&std::free)> owner(b.shared, &std::free);
    block = &b;
    static std::vector<std::unique_ptr<char[]>> stacks;
    while (stacks.size() < b.threads.size())
        stacks.push_back(std::make_unique<char[]>(kStackBytes));

    for (unsigned z = 0; z < shape.grid.z; ++z) {
        for (unsigned y = 0; y < shape.grid.y; ++y) {
            for (unsigned x = 0; x < shape.grid.x; ++x) {
                std::memset(b.shared, kPoison, bytes);
                for (unsigned i = 0; i < shape.block.x; ++i) {
                    Thread& t = b.threads[i];
                    t.place = {dim3(i), dim3(x, y, z), shape.block, shape.grid};
                    t.state = State::kReady;
                    t.waited_for_previous = false;
                    t.fiber.start(stacks[i].get(), kStackBytes, thread_main);
                }
                run_block();
            }
        }
    }
}

}  // namespace emulator
