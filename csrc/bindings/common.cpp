// What the extension modules share: arrays, shapes, exceptions.
#include "bindings/bindings.h"
#include "core/error.h"

namespace pycnn::bindings {

const float* floats(const py::array& array, int64_t elems, const char* what) {
    const bool right = py::isinstance<py::array_t<float>>(array) &&
                       (array.flags() & py::array::c_style) && array.size() == elems;
    PYCNN_CHECK(right, ShapeError, what, ": expected a C-contiguous float32 array of ", elems,
                " elements, got ", std::string(py::str(py::object(array.dtype()))), " with ",
                array.size());
    return static_cast<const float*>(array.data());
}

Shape to_shape(const std::vector<int64_t>& sizes) {
    PYCNN_CHECK(!sizes.empty() && sizes.size() <= 4, ShapeError, "expected 1 to 4 sizes, got ",
                sizes.size());
    int64_t all[4] = {1, 1, 1, 1};
    std::copy(sizes.begin(), sizes.end(), all);
    return {all[0], all[1], all[2], all[3]};
}

std::tuple<int64_t, int64_t, int64_t, int64_t> from_shape(const Shape& shape) {
    return {shape.n, shape.c, shape.h, shape.w};
}

namespace {

// The exception classes live in pycnn/errors.py, where Python code raises them too.
void set_error(const char* name, const std::exception& error) {
    PyErr_SetString(py::module_::import("pycnn.errors").attr(name).ptr(), error.what());
}

void translate(std::exception_ptr pending) {
    try {
        if (pending) std::rethrow_exception(pending);
    } catch (const ShapeError& error) {
        set_error("ShapeError", error);
    } catch (const UnsupportedError& error) {
        set_error("UnsupportedError", error);
    } catch (const DeviceError& error) {
        set_error("DeviceError", error);
    } catch (const Error& error) {
        set_error("PycnnError", error);
    }
}

}  // namespace

void register_errors() { py::register_local_exception_translator(translate); }

}  // namespace pycnn::bindings
