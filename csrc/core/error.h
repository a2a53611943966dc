// The engine's exceptions, and the one macro that raises them. The bindings map each type to the
// class of the same name in pycnn/errors.py.
#pragma once

#include <locale>
#include <sstream>
#include <stdexcept>
#include <string>

namespace pycnn {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A shape or a parameter that does not fit.
struct ShapeError : Error {
    using Error::Error;
};

// Valid, but not implemented.
struct UnsupportedError : Error {
    using Error::Error;
};

// A device or an instruction set that is unknown or that this machine lacks.
struct DeviceError : Error {
    using Error::Error;
};

// The arguments printed one after the other. Always in the "C" locale: an application's global
// locale would put thousands separators into sizes.
template <class... Args>
std::string str(const Args&... args) {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    static_cast<void>((text << ... << args));
    return text.str();
}

}  // namespace pycnn

// Throws ErrorType, with the further arguments as its message, unless the condition holds:
// PYCNN_CHECK(rank == 4, ShapeError, "conv2d: the input has ", rank, " dimensions, expected 4");
#define PYCNN_CHECK(condition, ErrorType, ...)          \
    do {                                                \
        if (!(condition)) [[unlikely]] {                \
            throw ErrorType(::pycnn::str(__VA_ARGS__)); \
        }                                               \
    } while (false)
