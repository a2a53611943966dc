#include "image/render.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"

namespace pycnn::image {

namespace {

constexpr double kFarthest = 1e9;  // a place beyond is as good as this one, and fits an integer

// Where pixel i of n lies within the image; -1 is outside.
int64_t inside(int64_t i, int64_t n, Border border) {
    if (i >= 0 && i < n) return i;
    switch (border) {
        case Border::kConstant: return -1;
        case Border::kEdge: return std::clamp<int64_t>(i, 0, n - 1);
        case Border::kReflect: break;
    }
    const int64_t period = 2 * (n - 1);
    if (period == 0) return 0;
    const int64_t at = ((i % period) + period) % period;
    return at < n ? at : period - at;
}

// The spline of the displacement: four control points and their weights, by row or by column.
struct Knot {
    int64_t first;
    float weights[4];
};

Knot knot(int64_t pixel, int64_t pixels, int64_t side) {
    const double at = (static_cast<double>(pixel) + 0.5) * static_cast<double>(side - 3) /
                      static_cast<double>(pixels);
    const auto first = std::min(static_cast<int64_t>(at), side - 4);
    const auto t = static_cast<float>(at - static_cast<double>(first));
    const float u = 1 - t;
    return {first,
            {u * u * u / 6, (3 * t * t * t - 6 * t * t + 4) / 6,
             (3 * u * u * u - 6 * u * u + 4) / 6, t * t * t / 6}};
}

// M v + K m + o with K m + o summed once for the image.
struct Colour {
    float matrix[kMaxChannels][kMaxChannels];
    float constant[kMaxChannels];
};

Colour colour_of(const Pixels& image, const float* rows) {
    const int64_t channels = image.channels, pixels = image.height * image.width;
    Colour colour{};
    uint64_t sums[kMaxChannels] = {};
    bool uses_mean = false;
    for (int64_t c = 0; c < channels; ++c) {
        for (int64_t d = 0; d < channels; ++d) {
            uses_mean |= rows[c * (2 * channels + 1) + channels + d] != 0;
        }
    }
    if (uses_mean) {
        for (int64_t i = 0; i < pixels; ++i) {
            for (int64_t c = 0; c < channels; ++c) sums[c] += image.data[i * channels + c];
        }
    }
    for (int64_t c = 0; c < channels; ++c) {
        const float* row = rows + c * (2 * channels + 1);
        double constant = row[2 * channels];
        for (int64_t d = 0; d < channels; ++d) {
            colour.matrix[c][d] = row[d];
            constant +=
                row[channels + d] * (static_cast<double>(sums[d]) / static_cast<double>(pixels));
        }
        colour.constant[c] = static_cast<float>(constant);
    }
    return colour;
}

template <int64_t C>
class Renderer {
public:
    Renderer(const Pixels& image, const Change& change, const Planes& planes)
        : image_(image), change_(change), planes_(planes) {
        if (change.colour != nullptr) colour_ = colour_of(image, change.colour);
    }

    void run() {
        const double* a = change_.affine;
        const bool whole = change_.grid == nullptr && std::abs(a[0]) == 1 && a[1] == 0 &&
                           a[3] == 0 && std::abs(a[4]) == 1 && is_whole(a[2]) && is_whole(a[5]);
        whole ? move() : warp();
    }

private:
    static bool is_whole(double value) { return std::floor(value) == value; }

    static double place(double value) { return std::clamp(value, -kFarthest, kFarthest); }

    static int64_t floored(double value) { return static_cast<int64_t>(std::floor(value)); }

    // Mirrored and moved by whole pixels: every pixel is one of the image's.
    void move() {
        const double* a = change_.affine;
        std::vector<int64_t> columns(static_cast<size_t>(planes_.width));
        for (int64_t q = 0; q < planes_.width; ++q) {
            const double x = place(a[0] * (static_cast<double>(q) + 0.5) + a[2]);
            columns[static_cast<size_t>(q)] = inside(floored(x), image_.width, planes_.border);
        }
        uint8_t fill[C];
        std::fill(fill, fill + C, planes_.fill);
        for (int64_t p = 0; p < planes_.height; ++p) {
            const double y = place(a[4] * (static_cast<double>(p) + 0.5) + a[5]);
            const int64_t row = inside(floored(y), image_.height, planes_.border);
            const uint8_t* pixels = image_.data + std::max<int64_t>(row, 0) * image_.width * C;
            for (int64_t q = 0; q < planes_.width; ++q) {
                const int64_t column = columns[static_cast<size_t>(q)];
                const uint8_t* pixel = row < 0 || column < 0 ? fill : pixels + column * C;
                if (change_.colour == nullptr) {
                    for (int64_t c = 0; c < C; ++c) {
                        const int64_t plane = plane_of(c);
                        *at(plane, p, q) = planes_.table[plane * 256 + pixel[c]];
                    }
                } else {
                    float v[C];
                    for (int64_t c = 0; c < C; ++c) v[c] = pixel[c];
                    put(v, p, q);
                }
            }
        }
    }

    void warp() {
        const double* a = change_.affine;
        const int64_t side = change_.grid_side;
        std::vector<Knot> columns;
        std::vector<float> row(static_cast<size_t>(2 * side));
        if (change_.grid != nullptr) {
            for (int64_t q = 0; q < planes_.width; ++q) {
                columns.push_back(knot(q, planes_.width, side));
            }
        }
        for (int64_t p = 0; p < planes_.height; ++p) {
            if (change_.grid != nullptr) controls_of_row(p, row.data());
            for (int64_t q = 0; q < planes_.width; ++q) {
                double x = static_cast<double>(q) + 0.5, y = static_cast<double>(p) + 0.5;
                if (change_.grid != nullptr) {
                    const Knot& k = columns[static_cast<size_t>(q)];
                    x += displacement(row.data(), k);
                    y += displacement(row.data() + side, k);
                }
                float v[C];
                blend(place(a[0] * x + a[1] * y + a[2] - 0.5),
                      place(a[3] * x + a[4] * y + a[5] - 0.5), v);
                put(v, p, q);
            }
        }
    }

    // The control points of a row of the result: those of dx, then those of dy.
    void controls_of_row(int64_t p, float* row) const {
        const int64_t side = change_.grid_side;
        const Knot k = knot(p, planes_.height, side);
        for (int64_t i = 0; i < 2 * side; ++i) {
            const float* column = change_.grid + (i / side) * side * side + i % side;
            row[i] = 0;
            for (int64_t j = 0; j < 4; ++j) row[i] += k.weights[j] * column[(k.first + j) * side];
        }
    }

    static float displacement(const float* row, const Knot& k) {
        const float* controls = row + k.first;
        return k.weights[0] * controls[0] + k.weights[1] * controls[1] +
               k.weights[2] * controls[2] + k.weights[3] * controls[3];
    }

    // The colours at a place that is counted from the centre of pixel (0, 0).
    void blend(double x, double y, float* v) const {
        const int64_t left = floored(x), top = floored(y);
        const auto right_part = static_cast<float>(x - static_cast<double>(left));
        const auto lower_part = static_cast<float>(y - static_cast<double>(top));
        float taps[4][C];
        if (planes_.border == Border::kConstant &&
            (x < -0.5 || y < -0.5 || x >= static_cast<double>(image_.width) - 0.5 ||
             y >= static_cast<double>(image_.height) - 0.5)) {
            std::fill(v, v + C, planes_.fill);
            return;
        }
        if (left >= 0 && top >= 0 && left + 1 < image_.width && top + 1 < image_.height) {
            const uint8_t* pixel = image_.data + (top * image_.width + left) * C;
            for (int64_t c = 0; c < C; ++c) {
                taps[0][c] = pixel[c];
                taps[1][c] = pixel[C + c];
                taps[2][c] = pixel[image_.width * C + c];
                taps[3][c] = pixel[image_.width * C + C + c];
            }
        } else {
            for (int64_t i = 0; i < 4; ++i) fetch(top + i / 2, left + i % 2, taps[i]);
        }
        for (int64_t c = 0; c < C; ++c) {
            const float upper = taps[0][c] + right_part * (taps[1][c] - taps[0][c]);
            const float lower = taps[2][c] + right_part * (taps[3][c] - taps[2][c]);
            v[c] = upper + lower_part * (lower - upper);
        }
    }

    void fetch(int64_t y, int64_t x, float* v) const {
        const Border border = planes_.border == Border::kReflect ? Border::kReflect : Border::kEdge;
        const int64_t row = inside(y, image_.height, border);
        const int64_t column = inside(x, image_.width, border);
        const uint8_t* pixel = image_.data + (row * image_.width + column) * C;
        for (int64_t c = 0; c < C; ++c) v[c] = pixel[c];
    }

    void put(const float* v, int64_t p, int64_t q) const {
        for (int64_t c = 0; c < C; ++c) {
            float value = v[c];
            if (change_.colour != nullptr) {
                value = colour_.constant[c];
                for (int64_t d = 0; d < C; ++d) value += colour_.matrix[c][d] * v[d];
                value = std::clamp(value, 0.0f, 255.0f);
            }
            const int64_t plane = plane_of(c);
            *at(plane, p, q) = value * planes_.gain[plane] + planes_.offset[plane];
        }
    }

    int64_t plane_of(int64_t c) const { return planes_.reversed ? C - 1 - c : c; }

    float* at(int64_t plane, int64_t p, int64_t q) const {
        return planes_.data + (plane * planes_.height + p) * planes_.width + q;
    }

    const Pixels& image_;
    const Change& change_;
    const Planes& planes_;
    Colour colour_{};
};

}  // namespace

Border parse_border(const std::string& name) {
    if (name == "constant") return Border::kConstant;
    if (name == "edge") return Border::kEdge;
    if (name == "reflect") return Border::kReflect;
    throw ShapeError(str("border '", name, "' is not one of constant, edge, reflect"));
}

void check(const Pixels& image, const Change& change, const Planes& planes) {
    PYCNN_CHECK(image.channels == 1 || image.channels == 3, ShapeError,
                "an image has 1 or 3 channels, got ", image.channels);
    PYCNN_CHECK(image.height > 0 && image.width > 0 && planes.height > 0 && planes.width > 0,
                ShapeError, "an image is empty: ", image.height, " x ", image.width, " to ",
                planes.height, " x ", planes.width);
    PYCNN_CHECK(
        change.grid == nullptr || (change.grid_side >= kMinGrid && change.grid_side <= kMaxGrid),
        ShapeError, "a grid has ", kMinGrid, " to ", kMaxGrid, " control points a side, got ",
        change.grid_side);
    for (int i = 0; i < 6; ++i) {
        PYCNN_CHECK(std::isfinite(change.affine[i]), ShapeError, "an affine map is not finite");
    }
    const int64_t controls = change.grid == nullptr ? 0 : 2 * change.grid_side * change.grid_side;
    for (int64_t i = 0; i < controls; ++i) {
        PYCNN_CHECK(std::isfinite(change.grid[i]), ShapeError, "a grid is not finite");
    }
}

void render(const Pixels& image, const Change& change, const Planes& planes) {
    if (image.channels == 1) {
        Renderer<1>(image, change, planes).run();
    } else {
        Renderer<3>(image, change, planes).run();
    }
}

}  // namespace pycnn::image
