/// How a model gets its weights. A model's weights are a struct built from a WeightSource; the same
/// constructor runs twice: on a WeightPlan, which only writes down what is asked for, and, once the
/// plan has been checked against the checkpoint, on a WeightLoader. So the list of expected tensors
/// and the loading cannot differ, and names, shapes and dtypes are checked before any weight is
/// read.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/expected.h"
#include "fluxq/cancel.h"
#include "fluxq/progress.h"
#include "models/linear.h"
#include "quant/recipe.h"

namespace fluxq {

class DeviceSchemes;

/// What a model asks for. Names are those of the checkpoint's part.
class WeightSource {
 public:
  virtual ~WeightSource() = default;

  /// The layer with weight [out, in] `name`.weight and, if asked for, bias [out] `name`.bias.
  Linear linear(const std::string& name, int64_t out, int64_t in, bool bias = true) {
    const int64_t columns[] = {in};
    return split_linear(name, out, columns, bias).front();
  }
  /// A layer whose input lies in several buffers, of `columns` columns each: one Linear for each
  /// buffer, whose results add up. The last one has the bias. The weight is packed as a whole.
  virtual std::vector<Linear> split_linear(const std::string& name, int64_t out,
                                           std::span<const int64_t> columns, bool bias) = 0;
  /// Layers of one input as one layer (Linear::side_by_side).
  virtual Linear side_by_side(std::vector<Linear> layers) = 0;
  /// The layers of q, k and v as one layer (Linear::qkv).
  virtual Linear qkv(std::vector<Linear> layers, int64_t heads) = 0;
  /// Tensor `name` on the device, in the stream's dtype.
  virtual Tensor tensor(const std::string& name, Shape shape) = 0;
  /// Convolution `name`.weight [out, in, kernel, kernel], `name`.bias [out]; `upsample` as in
  /// Kernels::load_conv.
  virtual std::shared_ptr<ConvWeight> conv(const std::string& name, int64_t out, int64_t in,
                                           int64_t kernel, bool upsample = false) = 0;
};

/// Writes down what a model asks for.
class WeightPlan final : public WeightSource {
 public:
  struct Entry {
    enum class Kind : uint8_t { linear, tensor, conv };
    Kind kind;
    std::string name;  ///< of the layer or the tensor
    Shape shape;       ///< of the weight or the tensor
    bool bias;
    std::vector<int64_t> columns = {};  ///< of a linear layer, as in split_linear()
  };

  std::vector<Linear> split_linear(const std::string& name, int64_t out,
                                   std::span<const int64_t> columns, bool bias) override;
  Linear side_by_side(std::vector<Linear> layers) override;
  Linear qkv(std::vector<Linear> layers, int64_t heads) override;
  Tensor tensor(const std::string& name, Shape shape) override;
  std::shared_ptr<ConvWeight> conv(const std::string& name, int64_t out, int64_t in, int64_t kernel,
                                   bool upsample) override;

  /// In the order of loading.
  const std::vector<Entry>& entries() const { return entries_; }
  /// The tensors that an unquantized checkpoint of this model holds.
  std::vector<ExpectedTensor> expected() const;
  /// "part.name" of each linear layer: what a recipe's patterns match.
  std::vector<std::string> layers(std::string_view part) const;
  int64_t parameters() const;
  /// Bytes of the weights as `recipe` stores them or, with `schemes`, as linear layers lie on that
  /// device once loaded. Convolutions may take somewhat more there.
  int64_t bytes(std::string_view part, const Recipe& recipe,
                DeviceSchemes* schemes = nullptr) const;

 private:
  std::vector<Entry> entries_;
};

/// The scheme of a layer of this size: the recipe's, or the baseline when that one cannot pack it.
Recipe::Choice choose_scheme(const Recipe& recipe, const std::string& layer, int64_t out,
                             int64_t in);
/// The bytes of a weight as the scheme stores it.
int64_t layout_bytes(const Scheme& scheme, int64_t out, int64_t in);

/// What became of one linear layer.
struct LayerCoverage {
  std::string layer;  ///< "transformer.transformer_blocks.0.attn.to_q"
  std::string scheme;
  std::string reason;  ///< why not the recipe's main scheme; empty for that one
  int64_t out = 0, in = 0;
  int64_t packed_bytes = 0;    ///< as stored
  int64_t resident_bytes = 0;  ///< on the device
  std::string kernel;          ///< "oneDNN s8 (avx512_core_vnni)"
  FusedParts fused;            ///< what the kernel does besides the product
};

/// The schemes' kernels on one device, made once each. Linears share their ownership.
class DeviceSchemes {
 public:
  explicit DeviceSchemes(Kernels& kernels) : kernels_(kernels) {}
  Kernels& kernels() const { return kernels_; }
  /// Error(unsupported) as Scheme::on().
  std::shared_ptr<SchemeKernels> on_device(const Scheme& scheme);

 private:
  Kernels& kernels_;
  std::map<const Scheme*, std::shared_ptr<SchemeKernels>> kernels_of_;
};

/// Loads one part of a model, tensor by tensor: the peak of memory is the loaded size plus one
/// layer. All references outlive the loader; models keep only the kernels.
class WeightLoader final : public WeightSource {
 public:
  /// `part`: "transformer", "text_encoder", "text_encoder_2" or "vae", as in recipes.
  WeightLoader(const TensorSource& source, std::string part, const Recipe& recipe,
               DeviceSchemes& schemes, Progress& progress, const CancelToken& cancel);

  /// Checks the checkpoint against the plan: Error(corrupt_file) for missing tensors, other shapes
  /// and dtypes, and for entries of a numbered list beyond those of the config (`lists`:
  /// "transformer_blocks." with the count); a warning for other tensors, unless their names begin
  /// with one of `unused`.
  struct List {
    std::string prefix;
    int64_t count;
  };
  void check(const WeightPlan& plan, std::span<const List> lists,
             std::span<const std::string_view> unused = {});

  std::vector<Linear> split_linear(const std::string& name, int64_t out,
                                   std::span<const int64_t> columns, bool bias) override;
  Linear side_by_side(std::vector<Linear> layers) override;
  Linear qkv(std::vector<Linear> layers, int64_t heads) override;
  Tensor tensor(const std::string& name, Shape shape) override;
  std::shared_ptr<ConvWeight> conv(const std::string& name, int64_t out, int64_t in, int64_t kernel,
                                   bool upsample) override;

  Kernels& kernels() const { return schemes_.kernels(); }
  DType stream() const { return recipe_.stream(); }
  bool has(const std::string& tensor) const { return source_.find(tensor) != nullptr; }
  const std::string& part() const { return part_; }
  const std::vector<LayerCoverage>& coverage() const { return coverage_; }
  /// On the device, of all that was loaded so far.
  int64_t resident_bytes() const { return resident_bytes_; }
  /// Spent in the schemes' pack().
  double pack_ms() const { return pack_ms_; }

 private:
  PackedWeight packed_weight(const Scheme& scheme, SchemeKernels& kernels, const std::string& name,
                             int64_t out, int64_t in);
  Tensor read(const std::string& name);
  Tensor on_device(const std::string& name, Shape shape);

  const TensorSource& source_;
  std::string part_;
  const Recipe& recipe_;
  DeviceSchemes& schemes_;
  Progress& progress_;
  const CancelToken& cancel_;
  std::vector<LayerCoverage> coverage_;
  int64_t tensors_done_ = 0;
  int64_t resident_bytes_ = 0;
  double pack_ms_ = 0;
};

}  // namespace fluxq
