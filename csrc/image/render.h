// From the pixels of an image to the planes that a network takes, in one pass: moved, warped,
// recoloured, normalised. It looks at no op and starts no thread.
//
// Places are continuous, x to the right and y down, in pixels; the centre of pixel (0, 0) is at
// (0.5, 0.5). Pixel (p, q) of the result, at (q + 0.5, p + 0.5) =: (X, Y), is what the image has at
//
//     x = a0 X' + a1 Y' + a2,  y = a3 X' + a4 Y' + a5,  (X', Y') = (X, Y) + displacement(X, Y)
//
// between the centres of pixels bilinear, beyond the outermost ones as at them, as in Pillow's
// transform; without antialiasing: shrink an image before. The displacement is a
// uniform cubic B-spline over the result, in pixels of it, from a square of control points; it is
// nowhere larger than the largest of them. Colours v become
//
//     clip(M v + K m + o, 0, 255),  m the mean colour of the image
//
// and the plane of each is v gain + offset, or, where no pixel was blended with another, what its
// table has for the pixel, which is rounded once.
#pragma once

#include <cstdint>
#include <string>

namespace pycnn::image {

// What lies outside an image's area: a constant; the pixel at the edge; the image mirrored there,
// the pixel at the edge not repeated.
enum class Border { kConstant, kEdge, kReflect };

Border parse_border(const std::string& name);  // ShapeError where there is none of that name

constexpr int64_t kMaxChannels = 3;
constexpr int64_t kMinGrid = 4;  // control points a side: one cubic piece
constexpr int64_t kMaxGrid = 64;

// An image, channels last, rows one after the other.
struct Pixels {
    const uint8_t* data;
    int64_t height, width, channels;
};

// What is drawn for one image.
struct Change {
    const double* affine;  // 6; finite
    const float* grid;     // (2, grid_side, grid_side): dx, then dy; finite; null: none
    int64_t grid_side;
    const float* colour;  // (channels, 2 channels + 1): rows of M, K, o; null: colours stay
};

// What is the same for all: plane c of the result is colour c, or the last colour first.
struct Planes {
    float* data;  // (channels, height, width)
    int64_t height, width;
    const float* table;   // (channels, 256), by plane
    const float* gain;    // by plane
    const float* offset;  // by plane
    bool reversed;
    Border border;
    uint8_t fill;  // of kConstant
};

// ShapeError unless 1 or 3 channels, nothing empty, a grid in its bounds, all places finite.
void check(const Pixels& image, const Change& change, const Planes& planes);

void render(const Pixels& image, const Change& change, const Planes& planes);

}  // namespace pycnn::image
