# talon_layer(NAME DEPS...): one static library from talon/NAME, recursively globbed, minus the
# folders that choose an implementation (backend/cuda, backend/no_cuda), which talon/CMakeLists.txt adds.
function(talon_layer name)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/talon/${name}/*.cc
       ${PROJECT_SOURCE_DIR}/talon/${name}/*.h)
  list(FILTER sources EXCLUDE REGEX "/backend/(cuda|no_cuda)/")
  add_library(talon_${name} STATIC ${sources})
  set_target_properties(talon_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(talon_${name} PUBLIC talon_flags ${ARGN})
endfunction()
