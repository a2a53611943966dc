# The extension module `_cuda`: programs on NVIDIA GPUs. Included where a Python module is built.
set(PYCNN_CUDA AUTO CACHE STRING "Build `_cuda`: AUTO (where nvcc is found), ON (or fail) or OFF")
set_property(CACHE PYCNN_CUDA PROPERTY STRINGS AUTO ON OFF)

file(GLOB PYCNN_CUDA_KERNELS CONFIGURE_DEPENDS csrc/cuda/kernels/*.cu csrc/cuda/kernels/*.cpp)
set(PYCNN_CUDA_SOURCES
  csrc/bindings/common.cpp
  csrc/bindings/cuda.cpp
  csrc/bindings/cuda_ops.cpp
  csrc/bindings/dlpack.cpp
  csrc/core/tensor.cpp
  csrc/cuda/process.cpp
  csrc/cuda/program.cpp
  csrc/cuda/task.cpp
  ${PYCNN_CUDA_KERNELS}
)

if(PYCNN_BUILD_CUDA_ON_HOST)
  # For the tests: the program and the kernels on the host, under the block emulator.
  set_source_files_properties(${PYCNN_CUDA_KERNELS} PROPERTIES LANGUAGE CXX COMPILE_OPTIONS "-xc++")
  pybind11_add_module(_cuda MODULE NO_EXTRAS ${PYCNN_CUDA_SOURCES}
    tests/cuda_emulator/emulator.cpp
    tests/cuda_emulator/hopper.cpp
    tests/cuda_host/device.cpp
  )
  target_include_directories(_cuda BEFORE PRIVATE tests/cuda_emulator/include tests/cuda_emulator)
  # Half of the tests' time here is the compiler's.
  target_compile_options(_cuda PRIVATE -Wno-unknown-pragmas -O1)
  target_compile_definitions(_cuda PRIVATE PYCNN_CUDA_ARCHITECTURES="emulator")
  return()
endif()

if(PYCNN_CUDA STREQUAL OFF)
  return()
elseif(NOT PYCNN_CUDA MATCHES "^(AUTO|ON)$")
  message(FATAL_ERROR "PYCNN_CUDA must be AUTO, ON or OFF, not '${PYCNN_CUDA}'")
endif()
include(CheckLanguage)
find_program(PYCNN_NVCC nvcc HINTS ENV CUDA_HOME ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
if(PYCNN_NVCC AND NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  set(CMAKE_CUDA_COMPILER ${PYCNN_NVCC})
endif()
# Machine code for Ampere and what follows with its major version, and for Hopper with what only
# Hopper has; PTX of 9.0, which the driver translates for all that comes later.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90a-real 90-virtual)
endif()
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(PYCNN_CUDA STREQUAL ON)
    message(FATAL_ERROR "PYCNN_CUDA is ON, but there is no nvcc: install the CUDA toolkit, put its "
      "bin folder into PATH, or set CMAKE_CUDA_COMPILER")
  endif()
  message(STATUS "pycnn: no nvcc, so no CUDA")
  return()
endif()
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
find_package(CUDAToolkit 12.5 REQUIRED)

pybind11_add_module(_cuda MODULE NO_EXTRAS ${PYCNN_CUDA_SOURCES}
  csrc/cuda/device.cpp
  csrc/cuda/tensor_map.cpp
)
target_compile_options(_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra>)
target_compile_definitions(_cuda PRIVATE
  PYCNN_CUDA_ARCHITECTURES="$<JOIN:${CMAKE_CUDA_ARCHITECTURES}, >")
# The static runtime and nothing else: never libcuda, so that the module loads without a driver.
target_link_libraries(_cuda PRIVATE CUDA::cudart_static)
target_link_options(_cuda PRIVATE -Wl,--exclude-libs,ALL)
install(TARGETS _cuda LIBRARY DESTINATION pycnn)
