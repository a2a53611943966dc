// The extension module `pycnn._core`: conversions between NumPy arrays and views, and nothing else.
#include "bindings/bindings.h"
#include "core/cpu_isa.h"
#include "core/thread_pool.h"
#include "cpu/kernels.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, m) {
    using namespace pycnn;
    m.doc() = "pycnn's engine: ops, programs, threads. Use it through the pycnn package.";
    bindings::register_errors();

    m.attr("__version__") = PYCNN_VERSION;
    m.attr("CHANNEL_BLOCK") = kChannelBlock;
    m.def(
        "active_isa", [] { return isa_name(active_isa()); },
        "The instruction set in use: the machine's best, or PYCNN_CPU_ISA.");
    m.def(
        "available_isas",
        [] {
            std::vector<std::string> names;
            for (Isa isa : available_isas()) names.push_back(isa_name(isa));
            return names;
        },
        "The instruction sets that this machine can run, worst to best.");
    m.def(
        "require_isa", [](const std::string& name) { cpu::kernels(parse_isa(name)); },
        py::arg("name"), "DeviceError when there is no such instruction set, or not here.");
    m.def("default_num_threads", &default_num_threads,
          "min(affinity, cgroup quota, cores), or PYCNN_NUM_THREADS.");
    bindings::bind_program(m);  // first: the ops' signatures name its types
    bindings::bind_ops(m);
    bindings::bind_image(m);
}
