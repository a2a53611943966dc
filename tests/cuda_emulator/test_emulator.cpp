// That the emulator finds what it is there to find: small kernels, most of them wrong.
#include "cuda/kernels/launch.h"
#include "cuda/kernels/ptx.h"
#include "emulator.h"
#include "harness.h"

namespace pycnn::cuda::test {
namespace {

constexpr int kThreads = 64;

// Reverses an array through shared memory.
void reverse_kernel(int* data, bool with_barrier) {
    wait_for_previous_kernel();
    auto* shared = static_cast<int*>(dynamic_shared());
    const int i = static_cast<int>(threadIdx.x);
    shared[i] = data[i];
    if (with_barrier) __syncthreads();
    data[i] = shared[kThreads - 1 - i];
}

bool reverses(bool with_barrier) {
    std::vector<int> data(kThreads);
    for (int i = 0; i < kThreads; ++i) data[static_cast<size_t>(i)] = i;
    launch(reverse_kernel, dim3(1), kThreads, kThreads * sizeof(int), Stream{}, data.data(),
           with_barrier);
    for (int i = 0; i < kThreads; ++i) {
        if (data[static_cast<size_t>(i)] != kThreads - 1 - i) return false;
    }
    return true;
}

void barrier_in_half_kernel() {
    wait_for_previous_kernel();
    if (threadIdx.x < kThreads / 2) __syncthreads();
}
void shuffle_in_half_kernel() {
    wait_for_previous_kernel();
    if (threadIdx.x % 2 == 0) __shfl_xor_sync(~0u, 1.0f, 1);
}
void two_operations_kernel() {
    wait_for_previous_kernel();
    if (threadIdx.x % 2 == 0) {
        __shfl_xor_sync(~0u, 1.0f, 2);
    } else {
        __syncwarp();
    }
}
void misaligned_copy_kernel(const float* from) {
    wait_for_previous_kernel();
    copy_async(static_cast<float*>(dynamic_shared()) + 1, from, true);
    commit_copies();
    wait_for_copies<0>();
}
void copy_kernel(const float* from, float* to, bool waits) {
    wait_for_previous_kernel();
    auto* shared = static_cast<float*>(dynamic_shared());
    shared[0] = 7;
    copy_async(shared, from, true);
    commit_copies();
    if (waits) wait_for_copies<0>();
    *to = shared[0];
    wait_for_copies<0>();
}
void forgotten_copy_kernel(const float* from) {
    wait_for_previous_kernel();
    copy_async(dynamic_shared(), from, true);
    commit_copies();
}
void shared_poison_kernel(uint32_t* to) {
    wait_for_previous_kernel();
    *to = *static_cast<uint32_t*>(dynamic_shared());
}
void hasty_kernel() {
    if (threadIdx.x > 0) wait_for_previous_kernel();
}
void hasty_copy_kernel(const float* from) { copy_async(dynamic_shared(), from, true); }

void sum_kernel(float* to) {
    wait_for_previous_kernel();
    float value = static_cast<float>(threadIdx.x);
    for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(~0u, value, mask);
    to[threadIdx.x] = value;
}

}  // namespace

void test_emulator() {
    in_both_orders([] { report(reverses(true), "emulator: barrier", "wrong result"); });
    int wrong = 0;
    in_both_orders([&] { wrong += !reverses(false); });
    report(wrong > 0, "emulator: missing barrier", "not found in either order");

    const auto run = [](auto kernel, auto... arguments) {
        return [=] { launch(kernel, dim3(1), kThreads, 1024, Stream{}, arguments...); };
    };
    in_both_orders([&] {
        expect_failure("emulator: barrier in a branch", "waits for barrier 0",
                       run(barrier_in_half_kernel));
        expect_failure("emulator: shuffle in a branch", "waits for __shfl_xor_sync",
                       run(shuffle_in_half_kernel));
        expect_failure("emulator: two warp operations at once", "while others of its warp",
                       run(two_operations_kernel));
        alignas(16) const float from[4] = {1, 2, 3, 4};
        const float* pointer = from;
        expect_failure("emulator: misaligned copy", "no multiple of 16",
                       run(misaligned_copy_kernel, pointer));
        expect_failure("emulator: forgotten copy", "nobody waited for",
                       run(forgotten_copy_kernel, pointer));
        expect_failure("emulator: a thread that ends early", "ended without having waited",
                       run(hasty_kernel));
        expect_failure("emulator: an early copy", "copies without having waited",
                       run(hasty_copy_kernel, pointer));
        float got = 0;
        run(copy_kernel, pointer, &got, true)();
        report(got == 1, "emulator: asynchronous copy", "has not happened when waited for");
        run(copy_kernel, pointer, &got, false)();
        report(got == 7, "emulator: asynchronous copy", "happened before it was waited for");
        uint32_t poison = 0;
        run(shared_poison_kernel, &poison)();
        report(poison == 0xFFFFFFFF, "emulator: shared memory", "is not poisoned");
        float sums[kThreads];
        run(sum_kernel, &sums[0])();
        report(sums[3] == 496 && sums[40] == 1520, "emulator: shuffles", "wrong sum");
    });
    expect_failure("emulator: empty grid", "empty grid",
                   [] { launch(barrier_in_half_kernel, dim3(0), kThreads, 0, Stream{}); });
}

}  // namespace pycnn::cuda::test
