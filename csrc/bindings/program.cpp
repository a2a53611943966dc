#include "program/program.h"

#include "bindings/bindings.h"
#include "core/error.h"

namespace pycnn::bindings {
namespace {

using program::Program;

// Keeps the sizes beside the program, so that every array is checked at each run.
struct PyProgram {
    std::vector<int64_t> inputs, outputs;
    Program program;
    PyProgram(int64_t arena, std::vector<int64_t> in, std::vector<int64_t> out)
        : inputs(in), outputs(out), program(arena, std::move(in), std::move(out)) {}
};

// The addresses of a run's arrays, checked.
struct Pointers {
    std::vector<const float*> inputs;
    std::vector<float*> outputs;

    Pointers(const PyProgram& program, const std::vector<py::array>& in,
             std::vector<py::array>& out) {
        PYCNN_CHECK(in.size() == program.inputs.size() && out.size() == program.outputs.size(),
                    Error, "program: wrong number of inputs or outputs");
        for (size_t i = 0; i < in.size(); ++i) {
            inputs.push_back(floats(in[i], program.inputs[i], "input"));
        }
        for (size_t i = 0; i < out.size(); ++i) {
            floats(out[i], program.outputs[i], "output");
            outputs.push_back(static_cast<float*>(out[i].mutable_data()));  // throws when read-only
        }
    }
};

}  // namespace

void bind_program(py::module_& m) {
    py::class_<TensorRef>(m, "TensorRef",
                          "A tensor of a program: `offset` elements into a buffer (0 is the arena, "
                          "then the inputs, then the outputs).")
        .def(py::init([](int buffer, int64_t offset, const std::vector<int64_t>& shape,
                         bool blocked, int64_t buffer_channels) {
                 const Layout layout = blocked ? Layout::kNchw16c : Layout::kNchw;
                 return TensorRef{buffer, offset,
                                  make_view(to_shape(shape), layout, buffer_channels)};
             }),
             py::arg("buffer"), py::arg("offset"), py::arg("shape"), py::arg("blocked") = true,
             py::arg("buffer_channels") = 0)
        .def_property_readonly("shape",
                               [](const TensorRef& ref) { return from_shape(ref.view.shape); });
    m.def(
        "storage_elems",
        [](const std::vector<int64_t>& shape, bool blocked) {
            return storage_elems(to_shape(shape), blocked ? Layout::kNchw16c : Layout::kNchw);
        },
        py::arg("shape"), py::arg("blocked") = true,
        "Elements of memory that a tensor takes; ShapeError when that is beyond any machine.");

    py::class_<Task, std::shared_ptr<Task>>(m, "Task", "One step: a kernel with its arguments.")
        .def_property_readonly("units", &Task::units)
        .def_property_readonly("work", &Task::work);

    py::class_<PyProgram>(m, "Program", "A flat list of tasks over one arena, run in one call.")
        .def(py::init<int64_t, std::vector<int64_t>, std::vector<int64_t>>(),
             py::arg("arena_elems"), py::arg("input_elems"), py::arg("output_elems"))
        .def(
            "add",
            [](PyProgram& self, std::string name, TaskPtr task, int stage) {
                self.program.add(std::move(name), std::move(task), stage);
            },
            py::arg("name"), py::arg("task"), py::arg("stage"),
            "Tasks of one stage run side by side; stages are added in ascending order.")
        .def(
            "run",
            [](PyProgram& self, const std::vector<py::array>& inputs,
               std::vector<py::array> outputs, int threads, std::optional<uint8_t> poison) {
                const Pointers pointers(self, inputs, outputs);
                py::gil_scoped_release release;
                self.program.run(pointers.inputs, pointers.outputs, threads, poison);
            },
            py::arg("inputs"), py::arg("outputs"), py::arg("threads"),
            py::arg("poison") = py::none(),
            "Runs all tasks without the GIL; writes into `outputs`.")
        .def(
            "profile",
            [](PyProgram& self, const std::vector<py::array>& inputs,
               std::vector<py::array> outputs, int threads) {
                const Pointers pointers(self, inputs, outputs);
                py::gil_scoped_release release;
                return self.program.profile(pointers.inputs, pointers.outputs, threads);
            },
            py::arg("inputs"), py::arg("outputs"), py::arg("threads"),
            "Runs as `run` does; gives the seconds of each task, in the order of `names`.")
        .def("trim", [](PyProgram& self) { self.program.trim(); })
        .def(
            "bytes", [](const PyProgram& self, int threads) { return self.program.bytes(threads); },
            py::arg("threads"), "Of the arena and the threads' workspaces, for one run.")
        .def_property_readonly("work", [](const PyProgram& self) { return self.program.work(); })
        .def_property_readonly("names", [](const PyProgram& self) { return self.program.names(); });
}

}  // namespace pycnn::bindings
