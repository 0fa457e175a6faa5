# Flags every target shares. Floating point stays exact: no fast-math, no contraction of a*b+c.
add_library(talon_flags INTERFACE)
target_compile_options(
  talon_flags
  INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Werror -Wno-psabi -ffp-contract=off
            -fno-math-errno -fno-omit-frame-pointer>)
target_include_directories(talon_flags INTERFACE ${PROJECT_SOURCE_DIR})
if(TALON_SANITIZE)
  target_compile_options(talon_flags INTERFACE -fsanitize=${TALON_SANITIZE} -fno-sanitize-recover=all -g -O1)
  target_link_options(talon_flags INTERFACE -fsanitize=${TALON_SANITIZE})
endif()
