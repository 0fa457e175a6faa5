# The CUDA backend: TALON_CUDA AUTO builds it where nvcc is found, ON demands it, OFF leaves it out.
# Sets TALON_HAVE_CUDA.
set(TALON_HAVE_CUDA OFF)
if(NOT TALON_CUDA STREQUAL "OFF")
  include(CheckLanguage)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_ARCHITECTURES OFF)  # named below: CMake 3.25 does not know 120f
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
    if(NOT DEFINED CMAKE_CUDA_COMPILER_LAUNCHER AND CMAKE_CXX_COMPILER_LAUNCHER)
      set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
    endif()
    enable_language(CUDA)
    # CMake 3.25 does not know that nvcc 13 speaks C++20.
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    set(CMAKE_CUDA_STANDARD 20)
    find_package(CUDAToolkit REQUIRED)
    set(TALON_HAVE_CUDA ON)
  elseif(TALON_CUDA STREQUAL "ON")
    message(FATAL_ERROR "TALON_CUDA=ON, but no CUDA compiler was found: install the CUDA toolkit (13.0 "
                        "or later), put nvcc on PATH, or configure with -DTALON_CUDA=OFF")
  endif()
endif()
if(TALON_HAVE_CUDA)
  set(cuda_options --expt-relaxed-constexpr -lineinfo -Xcompiler=-Wall,-Wextra)
  foreach(arch ${TALON_CUDA_ARCHITECTURES})
    list(APPEND cuda_options -gencode=arch=compute_${arch},code=sm_${arch})
  endforeach()
  # Like the host's flags: no fast-math, and multiply-adds are fused only where the code says so.
  list(APPEND cuda_options -fmad=false)
  target_compile_options(talon_flags INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_options}>")
endif()
