// Hopper's instructions: barriers in memory, the copy engine (TMA), and wgmma. Each is one
// function, and the emulator has the same functions for the host. They exist on compute
// capability 9.0 only (sm_90a); elsewhere a kernel that calls them is compiled to nothing, and
// never launched.
#pragma once

#include "cuda/kernels/ptx.h"

namespace pycnn::cuda {

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define PYCNN_HOPPER_ASM(...) asm volatile(__VA_ARGS__)
#else
#define PYCNN_HOPPER_ASM(...) static_cast<void>(0)
#endif

// --- registers: a warpgroup that needs few leaves them to the others ---

template <int kRegisters>
__device__ __forceinline__ void give_registers() {
    PYCNN_HOPPER_ASM("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void take_registers() {
    PYCNN_HOPPER_ASM("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// --- barriers in shared memory: a phase ends when all arrivals and all bytes have come ---

struct MemoryBarrier {
    uint64_t state;
};

__device__ __forceinline__ void init_barrier(MemoryBarrier* barrier, int arrivals) {
    PYCNN_HOPPER_ASM("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                     "r"(arrivals) : "memory");
}
// After init_barrier, before __syncthreads: the copy engine sees the barriers too.
__device__ __forceinline__ void publish_barriers() {
    PYCNN_HOPPER_ASM("fence.mbarrier_init.release.cluster;" :: : "memory");
    PYCNN_HOPPER_ASM("fence.proxy.async.shared::cta;" :: : "memory");
}
__device__ __forceinline__ void arrive(MemoryBarrier* barrier) {
    PYCNN_HOPPER_ASM(
        "mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// Arrives, and lets the phase wait for so many bytes more.
__device__ __forceinline__ void arrive_expecting(MemoryBarrier* barrier, int bytes) {
    PYCNN_HOPPER_ASM(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
        "r"(bytes) : "memory");
}
// Until the phase of this parity has ended.
__device__ __forceinline__ void wait(MemoryBarrier* barrier, uint32_t parity, const char*) {
    PYCNN_HOPPER_ASM(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra end;\n"
        "bra again;\n"
        "end:\n"
        "}" ::"r"(shared_address(barrier)),
        "r"(parity) : "memory");
}

// --- the copy engine ---

// A CUtensorMap; the kernel's parameter must be __grid_constant__.
struct alignas(64) TensorMap {
    unsigned char bytes[128];
};

__device__ __forceinline__ void prefetch(const TensorMap* map) {
    PYCNN_HOPPER_ASM("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}
// The pixels that begin at (c, w, h, n), moved by a tap's offset; bytes count on the barrier.
__device__ __forceinline__ void copy_im2col(void* shared, const TensorMap* map,
                                            MemoryBarrier* barrier, int c, int w, int h, int n,
                                            int offset_w, int offset_h) {
    PYCNN_HOPPER_ASM(
        "cp.async.bulk.tensor.4d.shared::cluster.global.im2col.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%3, %4, %5, %6}], [%2], {%7, %8};" ::"r"(shared_address(shared)),
        "l"(map), "r"(shared_address(barrier)), "r"(c), "r"(w), "r"(h), "r"(n),
        "h"(static_cast<uint16_t>(offset_w)), "h"(static_cast<uint16_t>(offset_h)) : "memory");
}
__device__ __forceinline__ void copy_box(void* shared, const TensorMap* map, MemoryBarrier* barrier,
                                         int i, int j, int k) {
    PYCNN_HOPPER_ASM(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(shared_address(shared)),
        "l"(map), "r"(shared_address(barrier)), "r"(i), "r"(j), "r"(k) : "memory");
}

// --- wgmma: a warpgroup's 64 rows by 8 kFragments columns, both factors in shared memory ---
//
// d has each warp's 16 rows as fragments of mma.sync (ptx.h). The products are on their way until
// they are waited for; d and the factors must stay as they are until then.

__device__ __forceinline__ void begin_products() {
    PYCNN_HOPPER_ASM("wgmma.fence.sync.aligned;" :: : "memory");
}
__device__ __forceinline__ void commit_products() {
    PYCNN_HOPPER_ASM("wgmma.commit_group.sync.aligned;" :: : "memory");
}
// Until at most kGroupsLeft of the last groups are on their way. Naming d keeps the compiler from
// moving its use to before the wait.
template <int kGroupsLeft, int kFragments>
__device__ __forceinline__ void wait_for_products(float (&d)[kFragments][4]) {
    PYCNN_HOPPER_ASM("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroupsLeft) : "memory");
    if constexpr (kGroupsLeft == 0) {
#pragma unroll
        for (auto& fragment : d) {
#pragma unroll
            for (float& value : fragment) PYCNN_HOPPER_ASM("" : "+f"(value)::"memory");
        }
    }
}

#define PYCNN_REGISTERS_0                                                    \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define PYCNN_REGISTERS_32                                                        \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, " \
    "%47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define PYCNN_REGISTERS_64                                                        \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, " \
    "%79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define PYCNN_REGISTERS_96                                                                         \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, "   \
    "%127"
#define PYCNN_FRAGMENT(i) "+f"(d[i][0]), "+f"(d[i][1]), "+f"(d[i][2]), "+f"(d[i][3])
#define PYCNN_FRAGMENTS(i)                                                                  \
    PYCNN_FRAGMENT(i), PYCNN_FRAGMENT(i + 1), PYCNN_FRAGMENT(i + 2), PYCNN_FRAGMENT(i + 3), \
        PYCNN_FRAGMENT(i + 4), PYCNN_FRAGMENT(i + 5), PYCNN_FRAGMENT(i + 6), PYCNN_FRAGMENT(i + 7)

// d = a b^T + d, or without d where `add` is false: one step of 32 bytes of each row.
#define PYCNN_WGMMA(Type, fragments, shape_and_types, registers, a_at, b_at, add_at, majors, ...)  \
    __device__ __forceinline__ void multiply_add_group(Type, float (&d)[fragments][4], uint64_t a, \
                                                       uint64_t b, bool add) {                     \
        PYCNN_HOPPER_ASM("{\n.reg .pred p;\nsetp.ne.b32 p, %" add_at                               \
                         ", 0;\n"                                                                  \
                         "wgmma.mma_async.sync.aligned." shape_and_types " {" registers            \
                         "}, %" a_at ", %" b_at ", p, 1, 1" majors ";\n}" : __VA_ARGS__ : "l"(a),  \
                         "l"(b), "r"(static_cast<int>(add)));                                      \
    }
#define PYCNN_WGMMA_64(Type, k, types, majors)                                                   \
    PYCNN_WGMMA(Type, 8, "m64n64k" k ".f32." types, PYCNN_REGISTERS_0, "32", "33", "34", majors, \
                PYCNN_FRAGMENTS(0))
#define PYCNN_WGMMA_128(Type, k, types, majors)                                                  \
    PYCNN_WGMMA(Type, 16, "m64n128k" k ".f32." types, PYCNN_REGISTERS_0 ", " PYCNN_REGISTERS_32, \
                "64", "65", "66", majors, PYCNN_FRAGMENTS(0), PYCNN_FRAGMENTS(8))
#define PYCNN_WGMMA_256(Type, k, types, majors)                                      \
    PYCNN_WGMMA(Type, 32, "m64n256k" k ".f32." types,                                \
                PYCNN_REGISTERS_0 ", " PYCNN_REGISTERS_32 ", " PYCNN_REGISTERS_64    \
                                  ", " PYCNN_REGISTERS_96,                           \
                "128", "129", "130", majors, PYCNN_FRAGMENTS(0), PYCNN_FRAGMENTS(8), \
                PYCNN_FRAGMENTS(16), PYCNN_FRAGMENTS(24))
PYCNN_WGMMA_64(Float16, "16", "f16.f16", ", 0, 0")
PYCNN_WGMMA_128(Float16, "16", "f16.f16", ", 0, 0")
PYCNN_WGMMA_256(Float16, "16", "f16.f16", ", 0, 0")
PYCNN_WGMMA_64(Bfloat16, "16", "bf16.bf16", ", 0, 0")
PYCNN_WGMMA_128(Bfloat16, "16", "bf16.bf16", ", 0, 0")
PYCNN_WGMMA_256(Bfloat16, "16", "bf16.bf16", ", 0, 0")
PYCNN_WGMMA_64(Tf32, "8", "tf32.tf32", "")
PYCNN_WGMMA_128(Tf32, "8", "tf32.tf32", "")
PYCNN_WGMMA_256(Tf32, "8", "tf32.tf32", "")
#undef PYCNN_WGMMA_256
#undef PYCNN_WGMMA_128
#undef PYCNN_WGMMA_64
#undef PYCNN_WGMMA
#undef PYCNN_FRAGMENTS
#undef PYCNN_FRAGMENT
#undef PYCNN_REGISTERS_0
#undef PYCNN_REGISTERS_32
#undef PYCNN_REGISTERS_64
#undef PYCNN_REGISTERS_96
#undef PYCNN_HOPPER_ASM

}  // namespace pycnn::cuda
