// Runs a CUDA kernel on the CPU: the blocks of a grid one after the other, the threads of a block
// as fibers that hand over to each other at barriers and at operations of a whole warp. The
// kernels' sources are the ones that nvcc compiles; the headers in include/ stand in for CUDA's,
// for kernels/launch.h and for kernels/ptx.h.
//
// What it finds, beside wrong results: a barrier or a warp operation that not all threads reach;
// lanes that are not at the same operation; threads that wait for ever, or not for the kernel
// before; and, built with AddressSanitizer, reads and writes outside shared or device memory. The
// threads run in ascending or in descending order between barriers; the tests do both, so that a
// missing barrier gives a wrong result in one of the two. An asynchronous copy happens as late as
// it may, when it is waited for. Shared memory is poisoned before each block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
};

namespace emulator {

inline constexpr int kWarpSize = 32;

// What a thread knows of itself.
struct Place {
    dim3 thread, block, block_size, grid_size;
    int lane() const { return static_cast<int>(thread.x) % kWarpSize; }
    int warp() const { return static_cast<int>(thread.x) / kWarpSize; }
};
const Place& place();

// The order in which threads run between barriers, for the launches that follow.
enum class Order { kAscending, kDescending };
void set_order(Order order);

struct LaunchShape {
    dim3 grid, block;
    int64_t shared_bytes = 0;
};
// Throws std::runtime_error with what went wrong and where.
void run(const LaunchShape& shape, const std::function<void()>& kernel);

// --- for the stand-ins, called from a running thread ---

// Ends the launch with this message. Does not return (and does not say so to the compiler, for whom
// AddressSanitizer would then clear the wrong stack).
void fail(const std::string& message);

void* shared_memory();
int64_t shared_bytes();

// Goes on when `count` threads have come to barrier `id`.
void barrier(int id, int count);

// Called by all `size` threads of a warp or a warpgroup. The last one that comes runs
// `operation` with the arguments of all, in the order of the threads; then all go on.
using Collective = void (*)(void* const* arguments);
void collective(const char* name, int size, void* argument, Collective operation);

// Lets the others run, and comes back: the body of a loop that waits for memory to change.
// `what` is named when nothing happens any more.
void poll(const char* what);
// Something changed that others may poll for.
void progress();

// Every thread must wait for the kernel before this one in the stream: before it copies anything,
// and even where it does nothing else (ptx.h says why).
void wait_for_previous();
void require_waited_for_previous(const char* what);

// Asynchronous copies of this thread: queued, grouped by commit, done when waited for.
void queue_copy(void* to, const void* from, int bytes, int from_bytes);
void commit_copies();
void wait_copies(int groups_left);

}  // namespace emulator
