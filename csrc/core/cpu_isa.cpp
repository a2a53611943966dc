#include "core/cpu_isa.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <string>

#include "core/error.h"

namespace pycnn {
namespace {

struct NamedIsa {
    Isa isa;
    const char* name;
};

constexpr std::array<NamedIsa, 4> kIsas = {{
    {Isa::kBaseline, "baseline"},
    {Isa::kAvx2, "avx2"},
    {Isa::kAvx512, "avx512"},
    {Isa::kNeon, "neon"},
}};

template <class Isas, class Name>
std::string joined(const Isas& isas, Name name) {
    std::string text;
    for (const auto& isa : isas) {
        text += (text.empty() ? "" : ", ") + std::string(name(isa));
    }
    return text;
}

Isa choose_isa() {
    const std::vector<Isa> available = available_isas();
    const char* wanted = std::getenv("PYCNN_CPU_ISA");
    if (wanted == nullptr || *wanted == '\0') {
        return available.back();
    }
    const std::string names = joined(available, isa_name);
    const auto is_wanted = [&](Isa isa) { return std::string_view(wanted) == isa_name(isa); };
    const auto found = std::find_if(available.begin(), available.end(), is_wanted);
    if (found == available.end()) {
        std::string reason = "this machine does not have it";
        try {
            parse_isa(wanted);
        } catch (const DeviceError& error) {
            reason = error.what();
        }
        throw DeviceError(str("PYCNN_CPU_ISA is \"", wanted, "\": ", reason,
                              ". Set it to one that this machine has (", names,
                              "), or unset it to use ", isa_name(available.back()), "."));
    }
    return *found;
}

}  // namespace

const char* isa_name(Isa isa) {
    for (const NamedIsa& row : kIsas) {
        if (row.isa == isa) {
            return row.name;
        }
    }
    return "unknown";
}

Isa parse_isa(std::string_view name) {
    for (const NamedIsa& row : kIsas) {
        if (row.name == name) {
            return row.isa;
        }
    }
    throw DeviceError(str("unknown instruction set \"", name, "\", expected one of ",
                          joined(kIsas, [](const NamedIsa& row) { return row.name; })));
}

std::vector<Isa> available_isas() {
    std::vector<Isa> isas = {Isa::kBaseline};
#if defined(__x86_64__)
    // The compiler's runtime also asks the operating system (XGETBV) whether it saves the wide
    // registers.
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    if (avx2) {
        isas.push_back(Isa::kAvx2);
    }
    if (avx512) {
        isas.push_back(Isa::kAvx512);
    }
#elif defined(__aarch64__)
    isas.push_back(Isa::kNeon);  // part of the architecture
#endif
    return isas;
}

Isa active_isa() {
    // Not a static local: its guard would stay locked in the child of a fork that happens during
    // the first call.
    static constinit std::atomic<int> chosen{-1};
    int isa = chosen.load(std::memory_order_relaxed);
    if (isa < 0) {
        // Threads that come here together may each choose; the first one is kept, so that the
        // answer never changes.
        const int candidate = static_cast<int>(choose_isa());
        isa = chosen.compare_exchange_strong(isa, candidate, std::memory_order_relaxed) ? candidate
                                                                                        : isa;
    }
    return static_cast<Isa>(isa);
}

}  // namespace pycnn
