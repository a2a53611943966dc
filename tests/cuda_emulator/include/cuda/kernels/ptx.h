// Stands in for csrc/cuda/kernels/ptx.h, function by function; what each does is said there.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace pycnn::cuda {

inline void* dynamic_shared() { return emulator::shared_memory(); }

inline void wait_for_previous_kernel() { emulator::wait_for_previous(); }
inline void let_next_kernel_start() {}

inline void require_aligned(const void* pointer, const char* what) {
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) {
        emulator::fail(std::string(what) + " at an address that is no multiple of 16");
    }
}

inline void copy_async(void* shared, const void* global, bool valid) {
    require_aligned(shared, "copy_async to shared memory");
    require_aligned(global, "copy_async from global memory");
    emulator::require_waited_for_previous("copies");
    emulator::queue_copy(shared, global, 16, valid ? 16 : 0);
}
inline void commit_copies() { emulator::commit_copies(); }
template <int kGroupsLeft>
void wait_for_copies() {
    emulator::wait_copies(kGroupsLeft);
}

inline void load_matrices(uint32_t (&r)[4], const void* row) {
    require_aligned(row, "load_matrices");
    struct Argument {
        const void* row;
        uint32_t* r;
    } mine{row, r};
    emulator::collective("load_matrices", 32, &mine, [](void* const* all) {
        for (int lane = 0; lane < 32; ++lane) {
            for (int matrix = 0; matrix < 4; ++matrix) {
                const auto* from = static_cast<const Argument*>(all[8 * matrix + lane / 4]);
                std::memcpy(&static_cast<Argument*>(all[lane])->r[matrix],
                            static_cast<const char*>(from->row) + lane % 4 * 4, 4);
            }
        }
    });
}

struct Float16 {
    using Storage = __half;
    static constexpr int kPerWord = 2;
    static float value(uint32_t word, int i) {
        static const std::vector<float> table = [] {
            std::vector<float> values(1 << 16);
            for (int bits = 0; bits < 1 << 16; ++bits) {
                values[static_cast<size_t>(bits)] = float16_to_float(static_cast<uint16_t>(bits));
            }
            return values;
        }();
        return table[word >> (16 * i) & 0xFFFF];
    }
};
struct Bfloat16 {
    using Storage = __nv_bfloat16;
    static constexpr int kPerWord = 2;
    static float value(uint32_t word, int i) {
        return bfloat16_to_float(static_cast<uint16_t>(word >> (16 * i)));
    }
};
struct Tf32 {
    using Storage = float;
    static constexpr int kPerWord = 1;
    static float value(uint32_t word, int) { return __uint_as_float(word & 0xFFFFE000); }
};

template <class Type>
void multiply_add(Type, float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    struct Argument {
        float* d;
        const uint32_t *a, *b;
    } mine{d, a, b};
    emulator::collective("multiply_add", 32, &mine, [](void* const* all) {
        constexpr int kDepth = 8 * Type::kPerWord;
        float rows[16][kDepth], columns[8][kDepth];
        for (int lane = 0; lane < 32; ++lane) {
            const auto* from = static_cast<const Argument*>(all[lane]);
            const int g = lane / 4, t = lane % 4;
            for (int i = 0; i < Type::kPerWord; ++i) {
                const auto at = [=](int word) { return word * Type::kPerWord + i; };
                rows[g][at(t)] = Type::value(from->a[0], i);
                rows[g + 8][at(t)] = Type::value(from->a[1], i);
                rows[g][at(t + 4)] = Type::value(from->a[2], i);
                rows[g + 8][at(t + 4)] = Type::value(from->a[3], i);
                columns[g][at(t)] = Type::value(from->b[0], i);
                columns[g][at(t + 4)] = Type::value(from->b[1], i);
            }
        }
        for (int lane = 0; lane < 32; ++lane) {
            float* sum = static_cast<Argument*>(all[lane])->d;
            for (int i = 0; i < 4; ++i) {
                const float* row = rows[lane / 4 + i / 2 * 8];
                const float* column = columns[lane % 4 * 2 + i % 2];
                for (int k = 0; k < kDepth; ++k) sum[i] += row[k] * column[k];
            }
        }
    });
}

inline uint32_t round_to_tf32(uint32_t word) {
    return __float_as_uint(round_to_tf32(__uint_as_float(word)));
}

}  // namespace pycnn::cuda
