/// Quantization on the GPU: inputs while their producer computes them, and weights when they are
/// loaded. The codes and scales are, bit for bit, those of the host's formats (e4m3.h, s8.h, s4.h,
/// sparse24.h). Rows of inputs have at most 16384 columns, else Error(unsupported).
#pragma once

#include "kernels/cuda/cuda_kernels.h"

namespace fluxq::cuda {

/// codes i8 [batch, rows, cols], scale f32 [batch * rows]: one scale per row of the producer's
/// value. A row with a NaN or infinity gets the scale NaN.
void quantize_rows_s8(CudaKernels& kernels, const Producer& input, const Rows& codes, float* scale);
/// The same in e4m3.
void quantize_rows_e4m3(CudaKernels& kernels, const Producer& input, const Rows& codes,
                        float* scale);
/// codes e4m3 [batch, rows, cols], scale f32 [batch]: one scale per matrix of the batch.
void quantize_samples_e4m3(CudaKernels& kernels, const Producer& input, const Rows& codes,
                           float* scale);

/// values bf16 [out, in] of codes i8 [out, in] and their scale f32 [out], each product rounded.
void expand_rows_s8(CudaKernels& kernels, const Rows& codes, const Tensor& scale,
                    const Rows& values);

/// int4wo's parts of a weight bf16 [out, in]: qdata i8 [out, in / 2], scale and zero_point bf16
/// [in / 128, out].
void quantize_groups_s4(CudaKernels& kernels, const Tensor& weight, const Tensor& qdata,
                        const Tensor& scale, const Tensor& zero_point);
/// values bf16 [out, in] of those parts, what tinygemm multiplies with.
void expand_groups_s4(CudaKernels& kernels, const Tensor& qdata, const Tensor& scale,
                      const Tensor& zero_point, const Rows& values);

/// sparse24-int8dq: of each four weights along `in` the two largest stay, then s8 per row as above.
/// codes i8 [out, in] with their zeros, scale f32 [out].
void prune_and_quantize_s8(CudaKernels& kernels, const Tensor& weight, const Tensor& codes,
                           const Tensor& scale);
/// The parts of sparse24-int8dq from such codes, and back: qdata i8 [out, in / 2], metadata u8
/// [out, sparse24_metadata_bytes(in)].
void compress_sparse24(CudaKernels& kernels, const Tensor& codes, const Tensor& qdata,
                       const Tensor& metadata);
void expand_sparse24(CudaKernels& kernels, const Tensor& qdata, const Tensor& metadata,
                     const Tensor& codes);

/// Error(numeric) naming `name` and the index of its first NaN or infinity, for a weight on the
/// device (f32 or bf16); waits for the device.
void require_finite(CudaKernels& kernels, const Tensor& weight, std::string_view name);

}  // namespace fluxq::cuda
