#include "program/program.h"

#include "bindings/bindings.h"
#include "core/error.h"

namespace pycnn::bindings {
namespace {

using program::Program;

void run(Program& self, const std::vector<py::array>& inputs, std::vector<py::array>& outputs,
         int threads, std::optional<uint8_t> poison, const std::vector<int64_t>& input_elems,
         const std::vector<int64_t>& output_elems) {
    PYCNN_CHECK(inputs.size() == input_elems.size() && outputs.size() == output_elems.size(), Error,
                "program: wrong number of inputs or outputs");
    std::vector<const float*> in;
    std::vector<float*> out;
    for (size_t i = 0; i < inputs.size(); ++i) {
        in.push_back(floats(inputs[i], input_elems[i], "input"));
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
        floats(outputs[i], output_elems[i], "output");
        out.push_back(static_cast<float*>(outputs[i].mutable_data()));  // throws when read-only
    }
    py::gil_scoped_release release;
    self.run(in, out, threads, poison);
}

// Keeps the sizes beside the program, so that every array is checked at each run.
struct PyProgram {
    std::vector<int64_t> inputs, outputs;
    Program program;
    PyProgram(int64_t arena, std::vector<int64_t> in, std::vector<int64_t> out)
        : inputs(in), outputs(out), program(arena, std::move(in), std::move(out)) {}
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
            [](PyProgram& self, std::string name, TaskPtr task) {
                self.program.add(std::move(name), std::move(task));
            },
            py::arg("name"), py::arg("task"))
        .def(
            "run",
            [](PyProgram& self, const std::vector<py::array>& inputs,
               std::vector<py::array> outputs, int threads, std::optional<uint8_t> poison) {
                run(self.program, inputs, outputs, threads, poison, self.inputs, self.outputs);
            },
            py::arg("inputs"), py::arg("outputs"), py::arg("threads"),
            py::arg("poison") = py::none(),
            "Runs all tasks without the GIL; writes into `outputs`.")
        .def("trim", [](PyProgram& self) { self.program.trim(); })
        .def(
            "bytes", [](const PyProgram& self, int threads) { return self.program.bytes(threads); },
            py::arg("threads"), "Of the arena and the threads' workspaces, for one run.")
        .def_property_readonly("work", [](const PyProgram& self) { return self.program.work(); })
        .def_property_readonly("names", [](const PyProgram& self) { return self.program.names(); });
}

}  // namespace pycnn::bindings
