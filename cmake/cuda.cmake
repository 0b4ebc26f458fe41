# The CUDA toolkit (13), cuDNN 9, and two header-only libraries from their PyPI wheels: CUTLASS and the cuDNN frontend
# (scripts/fetch_cuda_headers.sh). Kernels are built for Hopper alone: sm_90a.
set(CMAKE_CUDA_ARCHITECTURES OFF)
set(CMAKE_CUDA_FLAGS "-gencode=arch=compute_90a,code=sm_90a ${CMAKE_CUDA_FLAGS}")
enable_language(CUDA)
# CMake 3.25 does not know how nvcc 13 is asked for C++20, CMAKE_CXX_STANDARD's value.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
find_package(CUDAToolkit 13.0 REQUIRED)

set(FLUXQ_CUDA_HEADERS ${PROJECT_SOURCE_DIR}/build/cuda-headers CACHE PATH "Where fetch_cuda_headers.sh put its headers")
execute_process(COMMAND ${PROJECT_SOURCE_DIR}/scripts/fetch_cuda_headers.sh ${FLUXQ_CUDA_HEADERS} COMMAND_ERROR_IS_FATAL ANY)
find_path(CUDNN_INCLUDE cudnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} REQUIRED)
find_library(CUBLASLT_LIBRARY cublasLt HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib REQUIRED)
find_library(CUDNN_LIBRARY cudnn HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib REQUIRED)
find_library(NVRTC_LIBRARY nvrtc HINTS ${CUDAToolkit_LIBRARY_DIR} ${CUDAToolkit_LIBRARY_ROOT}/lib REQUIRED)

add_library(fluxq_cuda_libraries INTERFACE)
target_link_libraries(fluxq_cuda_libraries INTERFACE CUDA::cudart_static ${CUBLASLT_LIBRARY} ${CUDNN_LIBRARY} ${NVRTC_LIBRARY})
# Only for the rooms with device code (fluxq_device_code): all others compile to the same objects as without CUDA.
add_library(fluxq_cuda INTERFACE)
target_compile_definitions(fluxq_cuda INTERFACE FLUXQ_CUDA=1)
target_include_directories(fluxq_cuda SYSTEM INTERFACE ${CUDAToolkit_INCLUDE_DIRS} ${CUDNN_INCLUDE}
  ${FLUXQ_CUDA_HEADERS}/cutlass/include ${FLUXQ_CUDA_HEADERS}/cutlass/tools/util/include ${FLUXQ_CUDA_HEADERS}/cudnn-frontend/include)
# FMT_CONSTEVAL: nvcc cannot check format strings where it compiles.
target_compile_options(fluxq_cuda INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:-O3;--expt-relaxed-constexpr;--expt-extended-lambda;-Xcompiler=-Wall,-Wextra,-Werror,-ffp-contract=off;-Werror=all-warnings;-DNDEBUG;-DFMT_USE_CONSTEXPR=1;-DFMT_CONSTEVAL=>)

# The room has device code, and so have its tests.
function(fluxq_device_code room)
  foreach(target fluxq_${room} ${room}_test)
    if(TARGET ${target})
      target_link_libraries(${target} PRIVATE fluxq_cuda)
    endif()
  endforeach()
endfunction()
