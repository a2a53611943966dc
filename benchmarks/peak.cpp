// What the machine can do at best, as a ruler for the kernels: prints one number.
//   peak compute THREADS    float32 multiply-adds, GFLOP/s (2 a multiply-add)
//   peak read THREADS       reading memory, GB/s
// The best of many short bursts, all threads starting together: on a shared machine others only
// take.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <thread>
#include <vector>

namespace {

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
#elif defined(__AVX__)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif
typedef float Vec __attribute__((vector_size(kVecBytes)));
constexpr int kLanes = kVecBytes / 4;

// More chains than latency (4) x FMA units (2) of today's cores, fewer than registers.
constexpr int kChains = 12;
constexpr int64_t kSteps = 2'000'000;
constexpr int64_t kReadBytes = int64_t{256} << 20;  // of each thread: beyond any cache
constexpr int kBursts = 40;

volatile float sink;  // keeps the results, so that nothing is optimised away

void compute(const float*) {
    Vec acc[kChains];
    for (int i = 0; i < kChains; ++i) acc[i] = Vec{} + static_cast<float>(i);
    Vec a = Vec{} + 0.5f, b = Vec{} + 1.0f;
    asm volatile("" : "+m"(a), "+m"(b));  // unknown to the compiler
    for (int64_t step = 0; step < kSteps; ++step) {
#pragma GCC unroll 12
        for (int i = 0; i < kChains; ++i) acc[i] = acc[i] * a + b;
    }
    for (int i = 1; i < kChains; ++i) acc[0] += acc[i];
    sink = acc[0][0];
}

void read(const float* data) {
    Vec sum[8] = {};
    for (int64_t i = 0; i < kReadBytes / 4; i += 8 * kLanes) {
#pragma GCC unroll 8
        for (int j = 0; j < 8; ++j) {
            sum[j] += *reinterpret_cast<const Vec*>(data + i + j * kLanes);
        }
    }
    for (int j = 1; j < 8; ++j) sum[0] += sum[j];
    sink = sum[0][0];
}

// Seconds of one burst of `work` on all threads together.
double burst(void (*work)(const float*), const std::vector<float*>& data) {
    using Clock = std::chrono::steady_clock;
    std::atomic<int> ready{0};
    std::atomic<bool> go{false};
    std::vector<std::thread> threads;
    for (size_t i = 1; i < data.size(); ++i) {
        threads.emplace_back([&, i] {
            ready.fetch_add(1);
            while (!go.load()) {
            }
            work(data[i]);
        });
    }
    while (ready.load() + 1 < static_cast<int>(data.size())) std::this_thread::yield();
    const auto start = Clock::now();
    go.store(true);
    work(data[0]);
    for (std::thread& thread : threads) thread.join();
    return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
    const int threads = argc == 3 ? std::atoi(argv[2]) : 0;
    const bool is_read = argc == 3 && std::strcmp(argv[1], "read") == 0;
    if (threads < 1 || (!is_read && std::strcmp(argv[1], "compute") != 0)) {
        std::fprintf(stderr, "usage: peak compute|read THREADS\n");
        return 2;
    }
    std::vector<float*> data(threads, nullptr);
    if (is_read) {
        for (float*& block : data) {
            block = static_cast<float*>(std::aligned_alloc(1 << 21, kReadBytes));
            if (block == nullptr) {
                std::fprintf(stderr, "peak: out of memory\n");
                return 1;
            }
            madvise(block, kReadBytes, MADV_HUGEPAGE);  // or the TLB is what is measured
            std::fill(block, block + kReadBytes / 4, 1.0f);
        }
    }
    double seconds = 1e9;
    for (int i = 0; i < kBursts; ++i) {
        seconds = std::min(seconds, burst(is_read ? read : compute, data));
    }
    const double amount =
        is_read ? double(kReadBytes) : 2.0 * kLanes * kChains * static_cast<double>(kSteps);
    std::printf("%.1f\n", amount * threads / seconds / 1e9);
}
