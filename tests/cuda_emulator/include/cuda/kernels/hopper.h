// Stands in for csrc/cuda/kernels/hopper.h, function by function. Written from the PTX manual
// ("Tensors", "mbarrier", "Asynchronous warpgroup level matrix instructions"), not from the kernel
// that it tests. The copy engine copies at once; products are made when they are waited for, from
// what shared memory holds by then.
#pragma once

#include <deque>
#include <functional>

#include "cuda/kernels.h"
#include "cuda/kernels/ptx.h"

namespace pycnn::cuda {

template <int kRegisters>
void give_registers() {}
template <int kRegisters>
void take_registers() {}

inline uint32_t shared_address(const void* pointer) {
    return static_cast<uint32_t>(static_cast<const char*>(pointer) -
                                 static_cast<const char*>(emulator::shared_memory()));
}

struct MemoryBarrier {
    int32_t bytes;  // still to come
    uint16_t pending : 15, parity : 1;
    uint16_t arrivals;
};
static_assert(sizeof(MemoryBarrier) == 8);

inline void end_phase_if_complete(MemoryBarrier* b) {
    emulator::progress();
    if (b->pending > 0 || b->bytes > 0) return;
    b->pending = b->arrivals;
    b->parity ^= 1;
}
inline void init_barrier(MemoryBarrier* b, int arrivals) {
    b->arrivals = static_cast<uint16_t>(arrivals);
    b->pending = b->arrivals;
    b->parity = 0;
    b->bytes = 0;
}
inline void publish_barriers() {}
inline void arrive_expecting(MemoryBarrier* b, int bytes) {
    if (b->pending == 0) emulator::fail("more arrivals than the barrier was made for");
    b->bytes += bytes;
    --b->pending;
    end_phase_if_complete(b);
}
inline void arrive(MemoryBarrier* b) { arrive_expecting(b, 0); }
inline void bytes_arrived(MemoryBarrier* b, int bytes) {
    b->bytes -= bytes;
    end_phase_if_complete(b);
}
// `parity` is that of the phase under way, or the other where that one has ended.
inline void wait(MemoryBarrier* b, uint32_t parity, const char* what) {
    while (b->parity == parity) emulator::poll(what);
    emulator::progress();
}

struct alignas(64) TensorMap {
    unsigned char bytes[128];
};
// What encode_tensor_map made of it.
const TensorMapSpec& spec_of(const TensorMap* map);

inline void prefetch(const TensorMap*) {}
void copy_im2col(void* shared, const TensorMap* map, MemoryBarrier* barrier, int c, int w, int h,
                 int n, int offset_w, int offset_h);
void copy_box(void* shared, const TensorMap* map, MemoryBarrier* barrier, int i, int j, int k);

// The products of this warpgroup that are on their way, in groups.
using Products = std::deque<std::vector<std::function<void()>>>;
Products& products_of_warpgroup();

inline void begin_products() {
    emulator::collective("begin_products", 128, nullptr, [](void* const*) {});
}
inline void commit_products() {
    emulator::collective("commit_products", 128, nullptr, [](void* const*) {
        products_of_warpgroup().emplace_back();  // opens the next group
    });
}
template <int kGroupsLeft, int kFragments>
void wait_for_products(float (&)[kFragments][4]) {
    emulator::collective("wait_for_products", 128, nullptr, [](void* const*) {
        Products& groups = products_of_warpgroup();
        // The last one is open.
        while (static_cast<int>(groups.size()) - 1 > kGroupsLeft) {
            for (const auto& product : groups.front()) product();
            groups.pop_front();
        }
    });
}

// The 16 bytes at `chunk` of row `row` of the matrix that a descriptor tells of.
const unsigned char* described_chunk(const unsigned char* shared, uint64_t descriptor, int row,
                                     int chunk);

template <class Type, int kFragments>
void multiply_add_group(Type, float (&d)[kFragments][4], uint64_t a, uint64_t b, bool add) {
    struct Argument {
        float (*d)[4];
        uint64_t a, b;
        bool add;
    } mine{d, a, b, add};
    emulator::collective("multiply_add_group", 128, &mine, [](void* const* all) {
        const auto* first = static_cast<const Argument*>(all[0]);
        const uint64_t rows = first->a, columns = first->b;
        const bool with_sum = first->add;
        std::vector<float (*)[4]> sums;
        for (int i = 0; i < 128; ++i) {
            const auto* argument = static_cast<const Argument*>(all[i]);
            if (argument->a != rows || argument->b != columns || argument->add != with_sum) {
                emulator::fail("threads of a warpgroup multiply different matrices");
            }
            sums.push_back(argument->d);
        }
        const auto* shared = static_cast<const unsigned char*>(emulator::shared_memory());
        products_of_warpgroup().back().push_back([=] {
            constexpr int kDepth = 8 * Type::kPerWord;
            const auto read = [&](uint64_t matrix, int count) {
                std::vector<std::array<float, kDepth>> values(static_cast<size_t>(count));
                for (int row = 0; row < count; ++row) {
                    for (int k = 0; k < kDepth; ++k) {
                        const int byte = k * 4 / Type::kPerWord;
                        uint32_t word;
                        std::memcpy(
                            &word,
                            described_chunk(shared, matrix, row, byte / 16) + byte % 16 / 4 * 4, 4);
                        values[static_cast<size_t>(row)][static_cast<size_t>(k)] =
                            Type::value(word, k % Type::kPerWord);
                    }
                }
                return values;
            };
            const auto a_values = read(rows, 64), b_values = read(columns, 8 * kFragments);
            for (int thread = 0; thread < 128; ++thread) {
                const int lane = thread % 32, warp = thread / 32;
                for (int fragment = 0; fragment < kFragments; ++fragment) {
                    for (int i = 0; i < 4; ++i) {
                        const auto& row =
                            a_values[static_cast<size_t>(16 * warp + lane / 4 + i / 2 * 8)];
                        const auto& column =
                            b_values[static_cast<size_t>(8 * fragment + lane % 4 * 2 + i % 2)];
                        float& sum = sums[static_cast<size_t>(thread)][fragment][i];
                        if (!with_sum) sum = 0;
                        for (size_t k = 0; k < kDepth; ++k) sum += row[k] * column[k];
                    }
                }
            }
        });
    });
}

}  // namespace pycnn::cuda
