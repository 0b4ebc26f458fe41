# Flags of every target. No fast-math here: where it is wanted it is local and named (HACKING.md).
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(fluxq_flags INTERFACE)
# -fopenmp-simd reads `#pragma omp simd` only (vector loops with declared reductions); no OpenMP threads.
# -fno-trapping-math, -fno-math-errno: no value changes, but without them loops with a choice or a sqrt do not
# become vector loops.
# -ffp-contract=off: a multiply and an add round twice everywhere, so bytes do not depend on inlining.
target_compile_options(fluxq_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Werror;-fopenmp-simd;-ffp-contract=off;-fno-trapping-math;-fno-math-errno>)
if(FLUXQ_SANITIZE)
  target_compile_options(fluxq_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${FLUXQ_SANITIZE};-fno-omit-frame-pointer;-fno-sanitize-recover=all>)
  target_compile_definitions(fluxq_flags INTERFACE FLUXQ_SANITIZED=1)
  target_link_options(fluxq_flags INTERFACE -fsanitize=${FLUXQ_SANITIZE})
endif()
target_include_directories(fluxq_flags INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
