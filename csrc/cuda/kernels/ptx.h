// The instructions that C++ has no words for, from compute capability 8.0 on. Each is one function,
// and the emulator (tests/cuda_emulator) has the same functions for the host: the kernels contain
// no assembly and no condition on who compiles them.
#pragma once

#include <cstdint>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

namespace pycnn::cuda {

// The block's shared memory. All of it is dynamic, so that the emulator sees its size.
__device__ __forceinline__ void* dynamic_shared() {
    extern __shared__ __align__(1024) unsigned char shared[];
    return shared;
}

// --- programmatic dependent launch (no effect where the launch did not ask for it) ---

// What the kernels before this one in the stream wrote is visible after it. Every kernel calls it,
// in every thread, before it touches memory that another kernel writes or reads: so a kernel never
// ends before the one before it has ended, and it is enough to wait for that one.
__device__ __forceinline__ void wait_for_previous_kernel() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// The next kernel may be started; when all blocks have said so, or ended, it is.
__device__ __forceinline__ void let_next_kernel_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

// --- asynchronous copies from global to shared memory, 16 bytes each ---

__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Writes zeros, and does not read, where `valid` is false.
__device__ __forceinline__ void copy_async(void* shared, const void* global, bool valid) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
}
__device__ __forceinline__ void commit_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
// Until at most kGroupsLeft of this thread's last groups are on their way.
template <int kGroupsLeft>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
}

// --- tensor cores: a warp's 16x8 tile, products of 16-bit or TF32 numbers, sums in float32 ---
//
// Lane l holds, of 32-bit words (two 16-bit numbers or one TF32 number), with g = l / 4, t = l % 4:
//   a[0..3]  row g, g+8, g, g+8 of word t, t, t+4, t+4
//   b[0..1]  column g, of word t, t+4
//   d[0..3]  row g, g, g+8, g+8 of column 2t, 2t+1, 2t, 2t+1
// So both kinds of numbers have the same fragments in bytes: 8 words of a row, 32 bytes.

// Four 8x8 matrices of 16-bit numbers, or 8x4 ones of 32-bit words: lane l gives the address of a
// row of 16 bytes, rows 0-7 of matrix 0 first; r[i] is matrix i's row l / 4, word l % 4.
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}

struct Float16 {
    using Storage = __half;
};
struct Bfloat16 {
    using Storage = __nv_bfloat16;
};
struct Tf32 {
    using Storage = float;
};

#define PYCNN_MMA(kind)                                                             \
    asm volatile("mma.sync.aligned." kind                                           \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                   \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
__device__ __forceinline__ void multiply_add(Float16, float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
    PYCNN_MMA("m16n8k16.row.col.f32.f16.f16.f32");
}
__device__ __forceinline__ void multiply_add(Bfloat16, float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
    PYCNN_MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
}
__device__ __forceinline__ void multiply_add(Tf32, float (&d)[4], const uint32_t (&a)[4],
                                             const uint32_t (&b)[2]) {
    PYCNN_MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
}
#undef PYCNN_MMA

// The instruction drops the low 13 bits of a word: without rounding first, the error of a product
// is twice as large, and one-sided.
__device__ __forceinline__ uint32_t round_to_tf32(uint32_t word) {
    uint32_t rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(word)));
    return rounded;
}

}  // namespace pycnn::cuda
