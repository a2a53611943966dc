#include <optional>
#include <string>

#include "bindings/bindings.h"
#include "core/error.h"
#include "image/philox.h"
#include "image/render.h"

namespace pycnn::bindings {
namespace {

template <class T>
const T* elements(const py::array& array, const std::vector<int64_t>& shape, const char* what) {
    bool right = py::isinstance<py::array_t<T>>(array) && (array.flags() & py::array::c_style) &&
                 array.ndim() == static_cast<py::ssize_t>(shape.size());
    for (size_t i = 0; right && i < shape.size(); ++i) {
        right = array.shape(static_cast<py::ssize_t>(i)) == shape[i];
    }
    PYCNN_CHECK(right, ShapeError, what, ": wrong type, shape or order");
    return static_cast<const T*>(array.data());
}

template <class T>
T* elements(py::array& array, const std::vector<int64_t>& shape, const char* what) {
    elements<T>(std::as_const(array), shape, what);
    return static_cast<T*>(array.mutable_data());
}

void render_images(py::array out, const py::array& images, const py::array& index,
                   const py::array& affine, const std::optional<py::array>& grid,
                   const std::optional<py::array>& colour, const py::array& table,
                   const py::array& gain, const py::array& offset, bool reversed,
                   const std::string& border, int64_t fill) {
    PYCNN_CHECK(images.ndim() == 4 && out.ndim() == 4, ShapeError,
                "render: expected images (N, H, W, C) and out (n, C, P, Q)");
    PYCNN_CHECK(fill >= 0 && fill <= 255, ShapeError, "render: fill must be 0..255, got ", fill);
    const int64_t available = images.shape(0), height = images.shape(1), width = images.shape(2);
    const int64_t channels = images.shape(3), n = out.shape(0), p = out.shape(2), q = out.shape(3);
    const int64_t side = grid ? (grid->ndim() == 4 ? grid->shape(2) : 0) : 0;

    const auto* pixels = elements<uint8_t>(images, {available, height, width, channels}, "images");
    auto* planes = elements<float>(out, {n, channels, p, q}, "out");
    const auto* which = elements<int64_t>(index, {n}, "index");
    const auto* maps = elements<double>(affine, {n, 6}, "affine");
    const auto* grids = grid ? elements<float>(*grid, {n, 2, side, side}, "grid") : nullptr;
    const int64_t colour_elems = channels * (2 * channels + 1);
    const auto* colours =
        colour ? elements<float>(*colour, {n, channels, 2 * channels + 1}, "colour") : nullptr;
    const image::Planes plan{.data = nullptr,
                             .height = p,
                             .width = q,
                             .table = elements<float>(table, {channels, 256}, "table"),
                             .gain = elements<float>(gain, {channels}, "gain"),
                             .offset = elements<float>(offset, {channels}, "offset"),
                             .reversed = reversed,
                             .border = image::parse_border(border),
                             .fill = static_cast<uint8_t>(fill)};

    const py::gil_scoped_release release;
    for (int64_t i = 0; i < n; ++i) {
        PYCNN_CHECK(which[i] >= 0 && which[i] < available, ShapeError, "render: no image ",
                    which[i], " among ", available);
        const image::Pixels source{pixels + which[i] * height * width * channels, height, width,
                                   channels};
        const image::Change change{maps + 6 * i, grids ? grids + 2 * i * side * side : nullptr,
                                   side, colours ? colours + i * colour_elems : nullptr};
        image::Planes target = plan;
        target.data = planes + i * channels * p * q;
        image::check(source, change, target);
        image::render(source, change, target);
    }
}

py::array_t<double> uniforms(uint64_t seed, uint64_t epoch, const py::array& samples,
                             int64_t count) {
    PYCNN_CHECK(samples.ndim() == 1 && count >= 0, ShapeError,
                "uniforms: expected samples (n,) and a count of at least 0");
    const int64_t n = samples.shape(0);
    const auto* which = elements<int64_t>(samples, {n}, "samples");
    py::array_t<double> out({n, count});
    double* numbers = out.mutable_data();
    const py::gil_scoped_release release;
    for (int64_t i = 0; i < n; ++i) {
        image::uniforms(seed, epoch, static_cast<uint64_t>(which[i]), count, numbers + i * count);
    }
    return out;
}

}  // namespace

void bind_image(py::module_& m) {
    m.def("uniforms", &uniforms, py::arg("seed"), py::arg("epoch"), py::arg("samples"),
          py::arg("count"), "float64 (n, count) in [0, 1): Philox, keyed by seed, epoch, sample.");
    m.def("render_images", &render_images, py::arg("out"), py::arg("images"), py::arg("index"),
          py::arg("affine"), py::arg("grid"), py::arg("colour"), py::arg("table"), py::arg("gain"),
          py::arg("offset"), py::arg("reversed"), py::arg("border"), py::arg("fill"),
          "Write images (n, C, P, Q) float32: see csrc/image/render.h. Starts no thread.");
}

}  // namespace pycnn::bindings
