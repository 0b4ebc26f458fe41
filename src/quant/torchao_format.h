/// How packed weights lie in safetensors files: torchao 0.18's form (its
/// `flatten_tensor_state_dict`), so that torchao and diffusers load what fluxq wrote and the other
/// way round.
///
/// The weight "X.weight" becomes tensors "X._weight_PART", one per part of the scheme, and an entry
/// "X.weight" in the header's metadata: JSON with `_type`, `_data` (its settings) and
/// `_tensor_data_names`. Entry "tensor_names" lists all logical names, plain ones ("X.bias", with
/// an entry {"_type": "Tensor"}) included. A scheme that torchao does not have is described in the
/// same way with the type "FluxqWeight"; torchao refuses such a file.
///
/// Which entry belongs to which scheme is the scheme's own knowledge (Scheme::stored_form).
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "quant/scheme.h"

namespace fluxq {

/// How a header describes a weight [out, in] of a scheme.
struct StoredForm {
  std::string type;  ///< "Int8Tensor"; "Tensor" for a plain weight, which has no parts
  Json data;         ///< its settings
  Json config;       ///< `quant_type` of config.json; null if torchao has no such scheme
};

/// Whether files hold the scheme's weights as parts; those of f32 and bf16 are plain tensors.
bool is_packed(const Scheme& scheme);

/// "X._weight_scale" for layer "X" and part "scale".
std::string part_tensor_name(std::string_view layer, std::string_view part);

/// The part that holds a layer's input_scale (smoothing), [in]: torchao's name.
inline constexpr std::string_view kInputScalePart = "act_pre_scale";

using HeaderMetadata = std::map<std::string, std::string, std::less<>>;

/// The metadata of files that hold packed weights, collected tensor by tensor.
class StoredWeights {
 public:
  /// A weight of `layer` as `scheme` packs it, plain or not.
  void add_weight(std::string_view layer, const Scheme& scheme, int64_t out, int64_t in,
                  bool input_scale = false);
  /// Any other tensor.
  void add_plain(std::string_view name);

  /// For every file of the part; empty if no weight is packed.
  HeaderMetadata metadata() const;
  /// `quantization_config` of the part's config.json, naming the packed scheme `main`: torchao's
  /// where all packed schemes are its own, else one that only fluxq reads. Null if no weight is
  /// packed.
  Json quantization_config(const Scheme& main) const;

 private:
  HeaderMetadata entries_;
  std::vector<std::string> names_;
  bool packed_ = false, all_torchao_ = true;
};

/// What a file says of one weight.
struct StoredWeight {
  const Scheme* scheme = nullptr;
  bool input_scale = false;
};

/// The packed form of the weight [out, in] of `layer`; its scheme is null if the file holds it as a
/// plain tensor or says nothing of it. `where` is the file. Errors: corrupt_file for an entry that
/// is not of the form above; unsupported for a type or settings that no scheme has, naming them.
StoredWeight find_stored_weight(const HeaderMetadata& metadata, std::string_view layer, int64_t out,
                                int64_t in, std::string_view where);

/// Whether files with this metadata hold packed weights at all.
bool has_stored_weights(const HeaderMetadata& metadata);

}  // namespace fluxq
