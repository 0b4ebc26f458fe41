/// LDR-FLIP: the difference that a person sees when flipping between two pictures.
#pragma once

#include <vector>

#include "fluxq/image.h"

namespace fluxq {

struct Flip {
  double mean;             ///< over all pixels: 0 (equal) to 1
  std::vector<float> map;  ///< [height, width], each 0 to 1
};

/// Andersson, Nilsson, Akenine-Moller, Oskarsson, Astrom, Fairchild, "FLIP: A Difference Evaluator
/// for Alternating Images", HPG 2020, viewed as its authors' tool does by default: 0.7 m from a
/// 0.7 m wide screen of 3840 pixels, 67.02 pixels per degree. The same as flip_evaluator.evaluate
/// (PyPI flip-evaluator 1.7). Symmetric. Any size, from one pixel on. bad_argument naming both
/// sizes if they differ.
Flip flip(const Image& reference, const Image& test);

}  // namespace fluxq
