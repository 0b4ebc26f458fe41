/// Which layer gets which scheme: an ordered list of name patterns, the last that matches decides.
#pragma once

#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quant/scheme.h"

namespace fluxq {

/// One line of a recipe. `pattern` is a layer name "part.layer"
/// ("transformer.transformer_blocks.0.attn.to_q") in which
/// `*` stands for any run of characters. An empty scheme name means the recipe's main scheme,
/// "baseline" the plain one of the same stream: f32 under f32, bf16 under all others.
struct RecipeRule {
  std::string pattern;
  std::string scheme;
  std::string reason;  ///< why, shown by `coverage`
};

class Recipe {
 public:
  /// The default recipe for `scheme`: every linear inside the transformer blocks gets it;
  /// embedders, modulation, norm_out, the final proj_out, text encoders and the VAE's attention
  /// stay in the baseline of the same stream.
  static Recipe standard(const Scheme& scheme);
  /// From a recipe file (docs/recipes.md). Errors: corrupt_file; bad_argument for an unknown scheme
  /// (with near matches) or one of another stream than `scheme`'s.
  static Recipe load(const std::filesystem::path& file, const Scheme& scheme);
  /// The recipe of weights that are packed already: these layers have these schemes, all others are
  /// plain.
  static Recipe stored(const Scheme& main, const std::map<std::string, const Scheme*>& layers);

  struct Choice {
    const Scheme* scheme;
    std::string reason;  ///< of an exception; empty for the main scheme
  };
  /// A layer that no rule matches gets the baseline.
  Choice choose(std::string_view layer) const;
  /// Error(bad_argument) when a pattern of a recipe file matches none of `layers`, naming near
  /// matches.
  void check_used(std::span<const std::string> layers) const;

  const Scheme& main() const { return *main_; }
  /// The plain scheme of the same stream.
  const Scheme& baseline() const;
  DType stream() const { return main_->stream(); }
  const std::string& name() const { return name_; }  ///< "default", "stored", or the file's name

 private:
  std::string name_;
  bool from_file_ = false;
  const Scheme* main_ = nullptr;
  std::vector<RecipeRule> rules_;
};

}  // namespace fluxq
