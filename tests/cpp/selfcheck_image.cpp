// The self-check of csrc/image: random numbers against NumPy's, images against the definition at
// the top of csrc/image/render.h, computed in double. Every buffer has exactly the size that it
// must have, so that the sanitizers see a step beyond it.
#include <array>
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "image/philox.h"
#include "image/render.h"
#include "selfcheck.h"

namespace pycnn::selfcheck {
namespace {

using image::Border;

constexpr double kTolerance = 0.02;  // of pixels in 0..255: places and blends are in float

struct Size {
    int64_t height, width;
};

struct Geometry {
    std::string name;
    std::array<double, 6> affine;
    int64_t grid_side = 0;  // 0: no warp
    double reach = 0;       // of the warp, in pixels
};

std::vector<Geometry> geometries() {
    const double c = std::cos(0.7), s = std::sin(0.7);
    return {
        {"as it is", {1, 0, 0, 0, 1, 0}},
        {"mirrored and moved", {-1, 0, 9, 0, 1, -3}},
        {"upside down, out of sight", {1, 0, 40, 0, -1, 90}},
        {"turned", {c, -s, 2.3, s, c, -1.7}},
        {"enlarged", {0.13, 0, 0.4, 0, 0.21, -0.2}},
        {"slanted and shrunk", {2.3, 0.9, -4.1, -0.7, 1.9, 3.3}},
        {"warped", {1, 0, 0, 0, 1, 0}, image::kMinGrid, 2.5},
        {"turned and warped", {c, -s, 2.3, s, c, -1.7}, image::kMaxGrid, 1.5},
    };
}

int64_t place_of(int64_t i, int64_t n, Border border) {
    if (border != Border::kReflect || n == 1) return std::clamp<int64_t>(i, 0, n - 1);
    while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
    return i;
}

// The weight of a control point of a uniform cubic B-spline, by its distance in cells.
double basis(double distance) {
    const double d = std::abs(distance);
    if (d < 1) return 2.0 / 3 - d * d + d * d * d / 2;
    return d < 2 ? (2 - d) * (2 - d) * (2 - d) / 6 : 0;
}

// An image, its change and its planes, in buffers of their own.
struct Case {
    std::vector<uint8_t> pixels;
    std::array<double, 6> affine;
    std::vector<float> grid, colour, table, gain, offset, out;
    image::Pixels image;
    image::Change change;
    image::Planes planes;

    Case(Random& random, const Geometry& geometry, Size from, Size to, int64_t channels,
         bool recoloured, Border border)
        : affine(geometry.affine) {
        auto count = [](int64_t n) { return static_cast<size_t>(n); };
        auto byte = [&] { return static_cast<uint8_t>(127.5 * (random.next() + 1)); };
        for (int64_t i = 0; i < from.height * from.width * channels; ++i) pixels.push_back(byte());
        const int64_t side = geometry.grid_side;
        for (int64_t i = 0; i < 2 * side * side; ++i) {
            grid.push_back(static_cast<float>(geometry.reach * random.next()));
        }
        for (int64_t i = 0; recoloured && i < channels * (2 * channels + 1); ++i) {
            const bool constant = i % (2 * channels + 1) == 2 * channels;
            colour.push_back(static_cast<float>(random.next() * (constant ? 60 : 1)));
        }
        for (int64_t c = 0; c < channels; ++c) {
            gain.push_back(static_cast<float>(1.5 + random.next()));
            offset.push_back(static_cast<float>(100 * random.next()));
            for (int v = 0; v < 256; ++v)
                table.push_back(static_cast<float>(v) * gain.back() + offset.back());
        }
        out.assign(count(channels * to.height * to.width), kNan);
        image = {pixels.data(), from.height, from.width, channels};
        change = {affine.data(), side == 0 ? nullptr : grid.data(), side,
                  recoloured ? colour.data() : nullptr};
        planes = {out.data(), to.height, to.width, table.data(), gain.data(), offset.data(),
                  recoloured, border,    77};
    }

    Case(const Case&) = delete;  // it points into itself
    Case& operator=(const Case&) = delete;

    double pixel(int64_t y, int64_t x, int64_t c) const {
        const int64_t row = place_of(y, image.height, planes.border);
        const int64_t column = place_of(x, image.width, planes.border);
        return pixels[static_cast<size_t>((row * image.width + column) * image.channels + c)];
    }

    double displacement(int64_t axis, double x, double y) const {
        const int64_t side = change.grid_side;
        const double cells = static_cast<double>(side - 3);
        const double across = x / static_cast<double>(planes.width) * cells + 1;
        const double down = y / static_cast<double>(planes.height) * cells + 1;
        double sum = 0;
        for (int64_t i = 0; i < side; ++i) {
            for (int64_t j = 0; j < side; ++j) {
                sum += basis(down - static_cast<double>(i)) *
                       basis(across - static_cast<double>(j)) *
                       grid[static_cast<size_t>((axis * side + i) * side + j)];
            }
        }
        return sum;
    }

    // The colours of pixel (p, q) of the result, 0..255.
    std::vector<double> expected(int64_t p, int64_t q) const {
        double x = static_cast<double>(q) + 0.5, y = static_cast<double>(p) + 0.5;
        if (!grid.empty()) {
            const double dx = displacement(0, x, y), dy = displacement(1, x, y);
            x += dx;
            y += dy;
        }
        const double u = affine[0] * x + affine[1] * y + affine[2] - 0.5;
        const double v = affine[3] * x + affine[4] * y + affine[5] - 0.5;
        const auto left = static_cast<int64_t>(std::floor(u)),
                   top = static_cast<int64_t>(std::floor(v));
        const double right = u - std::floor(u), lower = v - std::floor(v);
        const bool outside = u < -0.5 || v < -0.5 || u >= static_cast<double>(image.width) - 0.5 ||
                             v >= static_cast<double>(image.height) - 0.5;
        std::vector<double> found;
        for (int64_t c = 0; c < image.channels; ++c) {
            const double blended =
                (1 - lower) *
                    ((1 - right) * pixel(top, left, c) + right * pixel(top, left + 1, c)) +
                lower *
                    ((1 - right) * pixel(top + 1, left, c) + right * pixel(top + 1, left + 1, c));
            found.push_back(outside && planes.border == Border::kConstant ? planes.fill : blended);
        }
        return colour.empty() ? found : recoloured(found);
    }

    std::vector<double> recoloured(const std::vector<double>& v) const {
        const int64_t channels = image.channels, row = 2 * channels + 1;
        std::vector<double> found;
        for (int64_t c = 0; c < channels; ++c) {
            double sum = colour[static_cast<size_t>(c * row + 2 * channels)];
            for (int64_t d = 0; d < channels; ++d) {
                double mean = 0;
                for (int64_t i = 0; i < image.height * image.width; ++i) {
                    mean += pixels[static_cast<size_t>(i * channels + d)];
                }
                mean /= static_cast<double>(image.height * image.width);
                sum += colour[static_cast<size_t>(c * row + d)] * v[static_cast<size_t>(d)] +
                       colour[static_cast<size_t>(c * row + channels + d)] * mean;
            }
            found.push_back(std::clamp(sum, 0.0, 255.0));
        }
        return found;
    }

    void check(const std::string& name) {
        image::check(image, change, planes);
        image::render(image, change, planes);
        double worst = 0;
        for (int64_t p = 0; p < planes.height; ++p) {
            for (int64_t q = 0; q < planes.width; ++q) {
                const std::vector<double> colours = expected(p, q);
                for (int64_t c = 0; c < image.channels; ++c) {
                    const int64_t plane = planes.reversed ? image.channels - 1 - c : c;
                    const auto i = static_cast<size_t>(plane);
                    const double got =
                        out[static_cast<size_t>((plane * planes.height + p) * planes.width + q)];
                    const double error =
                        std::abs((got - offset[i]) / gain[i] - colours[static_cast<size_t>(c)]);
                    worst = error <= worst ? worst : error;  // a NaN is the worst
                }
            }
        }
        report(worst <= kTolerance, name, str("off by ", worst, " of 255"));
    }
};

void check_render() {
    Random random;
    constexpr std::pair<Size, Size> kSizes[] = {{{1, 1}, {1, 1}},
                                                {{1, 5}, {4, 3}},
                                                {{6, 1}, {2, 7}},
                                                {{9, 11}, {9, 11}},
                                                {{12, 7}, {16, 15}}};
    constexpr std::pair<Border, const char*> kBorders[] = {
        {Border::kConstant, "constant"}, {Border::kEdge, "edge"}, {Border::kReflect, "reflect"}};
    for (const Geometry& geometry : geometries()) {
        for (const auto& [from, to] : kSizes) {
            for (const auto& [border, border_name] : kBorders) {
                for (int64_t channels : {1, 3}) {
                    for (bool recoloured : {false, true}) {
                        Case test(random, geometry, from, to, channels, recoloured, border);
                        test.check(str("render ", geometry.name, " ", from.height, " x ",
                                       from.width, " x ", channels, " to ", to.height, " x ",
                                       to.width, recoloured ? ", recoloured, " : ", ",
                                       border_name));
                    }
                }
            }
        }
    }
}

// Places beyond what an integer holds are outside as well.
void check_far_away() {
    for (double far : {1e12, -1e12, 1e300, -1e300}) {
        for (Border border : {Border::kConstant, Border::kEdge, Border::kReflect}) {
            for (const std::array<double, 6>& affine :
                 {std::array<double, 6>{1, 0, far, 0, 1, far}, {far, far, 0.5, far, -far, 0.25}}) {
                Random random;
                Case test(random, {"far", affine}, {4, 5}, {3, 6}, 3, false, border);
                image::render(test.image, test.change, test.planes);
                bool inside = true;
                for (size_t i = 0; i < test.out.size(); ++i) {
                    const size_t plane = i / (3 * 6);
                    const double v = (test.out[i] - test.offset[plane]) / test.gain[plane];
                    inside &= v > -kTolerance && v < 255 + kTolerance;
                }
                report(inside, str("render from ", far), "a value that is no pixel's");
            }
        }
    }
}

void check_uniforms() {
    // numpy.random.Generator(numpy.random.Philox(key=[3, 5], counter=[0, 7, 0, 0])).random(9)
    constexpr double kExpected[] = {
        0x1.dccae156c1990p-1, 0x1.5a7ba144e9cd2p-1, 0x1.8e17aeaf90945p-1,
        0x1.912b7705b0bfdp-1, 0x1.1378f367bc7b0p-3, 0x1.c82f10e56923ap-2,
        0x1.e6bbbca82f510p-5, 0x1.3e1b658807974p-3, 0x1.79723bae129a1p-1};
    for (int64_t count = 0; count <= 9; ++count) {
        std::vector<double> got(static_cast<size_t>(count));
        image::uniforms(3, 5, 7, count, got.data());
        report(std::equal(got.begin(), got.end(), kExpected), str("uniforms ", count),
               "other numbers than NumPy's");
    }
}

void check_misuse() {
    Random random;
    const Geometry warped{"warped", {1, 0, 0, 0, 1, 0}, image::kMinGrid, 1};
    auto check_refused = [&](const std::string& text, const std::function<void(Case&)>& spoil) {
        Case bad(random, warped, {4, 5}, {3, 6}, 3, true, Border::kEdge);
        spoil(bad);
        check_throws<ShapeError>("render", text,
                                 [&] { image::check(bad.image, bad.change, bad.planes); });
    };
    check_refused("1 or 3 channels, got 2", [](Case& bad) { bad.image.channels = 2; });
    check_refused("an image is empty", [](Case& bad) { bad.image.height = 0; });
    check_refused("an image is empty", [](Case& bad) { bad.planes.width = 0; });
    check_refused("4 to 64 control points", [](Case& bad) { bad.change.grid_side = 3; });
    check_refused("4 to 64 control points", [](Case& bad) { bad.change.grid_side = 65; });
    check_refused("map is not finite", [](Case& bad) { bad.affine[5] = kNan; });
    check_refused("map is not finite", [](Case& bad) { bad.affine[0] = kInfinity; });
    check_refused("grid is not finite", [](Case& bad) { bad.grid.back() = kNan; });
    check_throws<ShapeError>("border", "'wrap' is not one of", [] { image::parse_border("wrap"); });
}

}  // namespace

void check_image() {
    const int failed_before = failed;
    check_uniforms();
    check_render();
    check_far_away();
    check_misuse();
    std::printf("images: %s\n", failed == failed_before ? "ok" : "FAILED");
}

}  // namespace pycnn::selfcheck
