# Files that hold kernels for one instruction set; everything else is built for the baseline and
# picks one of them at run time (talon/backend/cpu/cpu_features.h).
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  file(GLOB avx512_bf16_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/backend/cpu/*_avx512bf16.cc)
  set(avx512_bf16_options -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mavx512vbmi -mfma -mavx2
      -mf16c -mbmi2)
  # GCC 12's own intrinsics trip these two (undefined pass-through operands, __m512 as a template argument).
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND avx512_bf16_options -Wno-uninitialized -Wno-maybe-uninitialized -Wno-ignored-attributes)
  endif()
  set_source_files_properties(${avx512_bf16_sources} TARGET_DIRECTORY talon_backend PROPERTIES COMPILE_OPTIONS
                              "${avx512_bf16_options}")
endif()
