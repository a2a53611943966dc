// Names that Python uses for the engine's enumerators.
#pragma once

#include <map>
#include <string>

#include "core/error.h"
#include "ops/activation.h"
#include "ops/binary.h"

namespace pycnn::bindings {

template <class T>
T choice(const char* what, const std::string& name, const std::map<std::string, T>& choices) {
    const auto found = choices.find(name);
    if (found != choices.end()) return found->second;
    std::string known;
    for (const auto& [key, value] : choices) known += (known.empty() ? "'" : ", '") + key + "'";
    throw ShapeError(str(what, " '", name, "' is not one of ", known));
}

inline ops::ActivationKind activation_kind(const std::string& name) {
    using Kind = ops::ActivationKind;
    return choice<Kind>("activation: kind", name,
                        {{"relu", Kind::kRelu},
                         {"sigmoid", Kind::kSigmoid},
                         {"tanh", Kind::kTanh},
                         {"affine", Kind::kAffine},
                         {"leaky_relu", Kind::kLeakyRelu},
                         {"clip", Kind::kClip},
                         {"hard_sigmoid", Kind::kHardSigmoid},
                         {"hard_swish", Kind::kHardSwish},
                         {"pow", Kind::kPow},
                         {"sqrt", Kind::kSqrt}});
}

inline ops::BinaryKind binary_kind(const std::string& name) {
    using Kind = ops::BinaryKind;
    return choice<Kind>("binary: kind", name,
                        {{"add", Kind::kAdd},
                         {"mul", Kind::kMul},
                         {"div", Kind::kDiv},
                         {"max", Kind::kMax},
                         {"min", Kind::kMin},
                         {"prelu", Kind::kPrelu}});
}

}  // namespace pycnn::bindings
