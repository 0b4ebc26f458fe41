/// One picture of the quality part, drawn and compared: the worker's side of the quality figures.
#pragma once

#include "bench/messages.h"
#include "pipeline/text_to_image.h"

namespace fluxq {

/// Draws the picture, writes it with its story into the run's folder, and compares it with the
/// baseline's picture and latents from the same noise, where there are such. The baseline's own
/// latents are kept for the others. A run that gives NaN or infinity has no picture: has_nan.
/// Errors: those of drawing and writing; corrupt_file for a reference that cannot be read.
PictureResult draw_picture(TextToImage& pipeline, const LoadOrder& load, const PictureOrder& order,
                           Progress& progress, const CancelToken& cancel);

}  // namespace fluxq
