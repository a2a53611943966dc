// The extension module `pycnn._cuda`: the device's programs. It is a module of its own, so that a
// build without CUDA leaves out a file, `import pycnn` stays light, and the tests can put one in
// its place that runs on the host. Its classes are local to it, so that both can be in one process.
#include "bindings/cuda.h"

#include <pybind11/typing.h>

#include "bindings/dlpack.h"
#include "bindings/kinds.h"
#include "core/error.h"
#include "cuda/program.h"

namespace pycnn::bindings {
namespace {

using cuda::Program;
using cuda::StreamHandle;
using Arrays = std::vector<py::array>;
using Addresses = std::vector<uintptr_t>;
using Poison = std::optional<uint8_t>;
using Facts = py::typing::Dict<py::str, py::object>;

const std::map<std::string, cuda::DType>& dtypes() {
    static const std::map<std::string, cuda::DType> known{{"float32", cuda::DType::kFloat32},
                                                          {"tf32", cuda::DType::kTf32},
                                                          {"float16", cuda::DType::kFloat16},
                                                          {"bfloat16", cuda::DType::kBfloat16}};
    return known;
}

StreamHandle stream_of(uintptr_t handle) { return reinterpret_cast<StreamHandle>(handle); }

// Host arrays of a run, checked: inputs are buffers 1 to num_inputs, outputs come after them.
std::vector<const std::byte*> host_inputs(const Program& program, const Arrays& arrays) {
    PYCNN_CHECK(arrays.size() == program.num_inputs(), Error, "program: wrong number of inputs");
    std::vector<const std::byte*> found;
    for (size_t i = 0; i < arrays.size(); ++i) {
        const float* data = floats(arrays[i], program.buffer_bytes()[1 + i] / 4, "input");
        found.push_back(reinterpret_cast<const std::byte*>(data));
    }
    return found;
}

std::vector<std::byte*> host_outputs(const Program& program, Arrays& arrays) {
    const size_t first = 1 + program.num_inputs();
    PYCNN_CHECK(arrays.size() == program.buffer_bytes().size() - first, Error,
                "program: wrong number of outputs");
    std::vector<std::byte*> found;
    for (size_t i = 0; i < arrays.size(); ++i) {
        floats(arrays[i], program.buffer_bytes()[first + i] / 4, "output");
        found.push_back(static_cast<std::byte*>(arrays[i].mutable_data()));
    }
    return found;
}

void bind_device(py::module_& m) {
    m.def(
        "support",
        [] {
            const cuda::Support found = cuda::support();
            py::list devices;
            for (const cuda::DeviceInfo& d : found.devices) {
                devices.append(py::dict(
                    py::arg("name") = d.name, py::arg("major") = d.major,
                    py::arg("minor") = d.minor, py::arg("sm_count") = d.sm_count,
                    py::arg("max_shared_bytes") = d.max_shared_bytes,
                    py::arg("memory_bytes") = d.memory_bytes, py::arg("l2_bytes") = d.l2_bytes));
            }
            return Facts(py::arg("runtime_version") = found.runtime_version,
                         py::arg("driver_version") = found.driver_version,
                         py::arg("error") = found.error, py::arg("devices") = devices);
        },
        "Versions, devices, and what asking for them gave; never raises for want of a GPU.");
    m.attr("ARCHITECTURES") = PYCNN_CUDA_ARCHITECTURES;
    m.attr("VECTOR_BYTES") = cuda::kVectorBytes;

    py::class_<DeviceTensor>(m, "DeviceTensor", py::module_local(),
                             "A dense tensor in device memory.")
        .def_static(
            "empty",
            [](const std::vector<int64_t>& shape, int device, uintptr_t stream) {
                return empty_tensor(shape, device, stream_of(stream));
            },
            py::arg("shape"), py::arg("device"), py::arg("stream"),
            "New float32 memory, ordered on a stream, which must outlive it.")
        .def_static("from_capsule", &from_capsule, py::arg("capsule"))
        .def("to_capsule", &to_capsule)
        .def(
            "numpy",
            [](const DeviceTensor& self, uintptr_t stream) {
                PYCNN_CHECK(self.dtype == "float32", ShapeError, "numpy: expected float32, got ",
                            self.dtype);
                py::array_t<float> made(self.shape);
                float* to = made.mutable_data();
                const int64_t bytes = 4 * made.size();
                const py::gil_scoped_release release;
                const cuda::DeviceGuard guard(self.device);
                cuda::copy(to, reinterpret_cast<const void*>(self.address), bytes,
                           cuda::Copy::kToHost, stream_of(stream));
                cuda::synchronize(stream_of(stream));
                return made;
            },
            py::arg("stream"), "A copy on the host, after all that is queued on the stream.")
        .def_readonly("address", &DeviceTensor::address)
        .def_readonly("shape", &DeviceTensor::shape)
        .def_readonly("dtype", &DeviceTensor::dtype)
        .def_readonly("device", &DeviceTensor::device);
    m.def(
        "make_wait",
        [](uintptr_t waiting, uintptr_t working, int device) {
            const cuda::DeviceGuard guard(device);
            cuda::Event event;
            event.record(stream_of(working));
            event.make_wait(stream_of(waiting));
        },
        py::arg("waiting"), py::arg("working"), py::arg("device"),
        "What is queued on one stream from now on comes after what is queued on the other.");
}

void bind_device_program(py::module_& m) {
    py::class_<cuda::TensorRef>(
        m, "TensorRef", py::module_local(),
        "A tensor of a program: bytes into a buffer (0 is the arena, then the inputs, then the "
        "outputs). A pitch of 0 is dense NCHW, any other the elements between pixels.")
        .def(py::init([](int buffer, int64_t offset_bytes, const std::vector<int64_t>& shape,
                         int64_t pitch, const std::string& dtype) {
                 return cuda::TensorRef{buffer, offset_bytes, to_shape(shape), pitch,
                                        parse_dtype(dtype)};
             }),
             py::arg("buffer"), py::arg("offset_bytes"), py::arg("shape"), py::arg("pitch"),
             py::arg("dtype"))
        .def_property_readonly("shape",
                               [](const cuda::TensorRef& ref) { return from_shape(ref.shape); })
        .def_readonly("offset_bytes", &cuda::TensorRef::offset_bytes)
        .def_readonly("pitch", &cuda::TensorRef::pitch)
        .def_readonly("buffer", &cuda::TensorRef::buffer);
    py::class_<cuda::Task>(m, "Task", py::module_local(), "One step: a launch with its arguments.")
        .def_readonly("workspace_bytes", &cuda::Task::workspace_bytes);
    py::class_<Program::Ticket>(m, "Ticket", py::module_local(),
                                "A run with host memory that was submitted.");

    py::class_<Program>(m, "Program", py::module_local(),
                        "Steps over one arena of a device, run in one call.")
        .def(py::init<int, bool, int64_t, std::vector<int64_t>, std::vector<int64_t>>(),
             py::arg("device"), py::arg("overlap"), py::arg("arena_bytes"), py::arg("input_bytes"),
             py::arg("output_bytes"))
        .def("add", &Program::add, py::arg("name"), py::arg("task"), py::arg("stage"),
             py::arg("workspace_offset"),
             "Steps of one stage may run side by side; stages are added in ascending order.")
        .def(
            "submit",
            [](Program& self, const Arrays& inputs, Poison poison) {
                const auto in = host_inputs(self, inputs);
                const py::gil_scoped_release release;
                return self.submit(in, poison);
            },
            py::arg("inputs"), py::arg("poison") = py::none(),
            "Begins a run on float32 arrays, which have been read when it returns.")
        .def(
            "collect",
            [](Program& self, Program::Ticket& ticket, Arrays outputs) {
                const auto out = host_outputs(self, outputs);
                const py::gil_scoped_release release;
                self.collect(ticket, out);
            },
            py::arg("ticket"), py::arg("outputs"), "Waits for a run and writes into `outputs`.")
        .def(
            "enqueue",
            [](Program& self, const Addresses& inputs, const Addresses& outputs, uintptr_t stream) {
                std::vector<const std::byte*> in;
                std::vector<std::byte*> out;
                for (uintptr_t address : inputs) {
                    in.push_back(reinterpret_cast<const std::byte*>(address));
                }
                for (uintptr_t address : outputs) {
                    out.push_back(reinterpret_cast<std::byte*>(address));
                }
                const py::gil_scoped_release release;
                self.enqueue(in, out, stream_of(stream));
            },
            py::arg("inputs"), py::arg("outputs"), py::arg("stream"),
            "Queues a run on device memory, at these addresses, and returns at once.")
        .def(
            "profile",
            [](Program& self, const Arrays& inputs) {
                const auto in = host_inputs(self, inputs);
                const py::gil_scoped_release release;
                return self.profile(in);
            },
            py::arg("inputs"),
            "Runs step after step; gives the seconds of each, in the order of `names`.")
        .def("trim", &Program::trim, py::call_guard<py::gil_scoped_release>())
        .def_property_readonly("names", &Program::names)
        .def_property_readonly("captured", &Program::captured,
                               "Names of the steps that are launched as one CUDA graph.");
}

}  // namespace

cuda::DType parse_dtype(const std::string& name) { return choice("dtype", name, dtypes()); }

const char* dtype_name(cuda::DType dtype) {
    for (const auto& [name, value] : dtypes()) {
        if (value == dtype) return name.c_str();
    }
    throw Error("unknown dtype");
}

}  // namespace pycnn::bindings

PYBIND11_MODULE(_cuda, m) {
    using namespace pycnn::bindings;
    m.doc() = "pycnn's programs on NVIDIA GPUs. Use them through the pycnn package.";
    register_errors();
    py::module_::import("pycnn._core");  // has the parameters of the ops
    bind_device_program(m);              // first: the ops' signatures name its types
    bind_device(m);
    bind_cuda_ops(m);
}
