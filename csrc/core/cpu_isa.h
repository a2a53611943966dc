// The instruction sets that the CPU kernels are compiled for, and the one that is in use.
#pragma once

#include <string_view>
#include <vector>

namespace pycnn {

// kBaseline is what every machine of the architecture runs: SSE2 on x86-64, scalar-width code on
// aarch64.
enum class Isa { kBaseline, kAvx2, kAvx512, kNeon };

// "baseline", "avx2", "avx512", "neon".
const char* isa_name(Isa isa);

// The inverse of isa_name; throws DeviceError with the list of names.
Isa parse_isa(std::string_view name);

// What this machine and its operating system can run, worst to best. kAvx2 needs AVX2 and FMA,
// kAvx512 needs also AVX-512 F, BW, DQ and VL.
std::vector<Isa> available_isas();

// The set in use: the best of available_isas(), or what PYCNN_CPU_ISA says (empty counts as unset).
// Chosen at the first call and kept; a name that is unknown or that this machine lacks throws
// DeviceError, at every call.
Isa active_isa();

}  // namespace pycnn
