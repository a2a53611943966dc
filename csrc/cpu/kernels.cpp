#include "cpu/kernels.h"

#include <algorithm>
#include <vector>

#include "core/error.h"

namespace pycnn::cpu {

// Each defined by kernels/table.cpp, compiled for that instruction set.
namespace baseline { extern const Kernels kTable; }
namespace avx2 { extern const Kernels kTable; }
namespace avx512 { extern const Kernels kTable; }
namespace neon { extern const Kernels kTable; }

const Kernels& kernels(Isa isa) {
    static const std::vector<Isa> available = available_isas();
    PYCNN_CHECK(std::find(available.begin(), available.end(), isa) != available.end(), DeviceError,
                "this machine has not the instruction set ", isa_name(isa));
    switch (isa) {
        case Isa::kBaseline: return baseline::kTable;
#if defined(__x86_64__)
        case Isa::kAvx2: return avx2::kTable;
        case Isa::kAvx512: return avx512::kTable;
#elif defined(__aarch64__)
        case Isa::kNeon: return neon::kTable;
#endif
        default: break;
    }
    throw DeviceError(str("this build has no kernels for ", isa_name(isa)));
}

}  // namespace pycnn::cpu
