/// The library's front door: load a FLUX.1 model once, make pictures from prompts.
///
///   fluxq::Engine engine({.model = "models/emoji-flux"});
///   for (const fluxq::Picture& picture : engine.generate({.prompt = "red apple"})) { ... }
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "fluxq/cancel.h"
#include "fluxq/error.h"
#include "fluxq/picture.h"
#include "fluxq/progress.h"

namespace fluxq {

struct GenerateOptions {
  std::string prompt = {};  ///< UTF-8
  uint64_t seed = 0;        ///< picture i of the batch has seed + i
  int batch = 1;
  // What is not given comes from the model: 4 steps and guidance 0 for a schnell-like one, 28
  // and 3.5 for a dev-like one.
  std::optional<int> steps = {};
  std::optional<int> width = {}, height = {};  ///< pixels, multiples of 16
  std::optional<double> guidance = {};
  std::optional<int> max_text_tokens = {};
  /// A folder into which `stages.safetensors` is written (DESIGN.md, "The command line"); empty:
  /// none.
  std::filesystem::path dump = {};
};

struct EngineOptions {
  /// A diffusers folder, or the name of a model that find_model() knows.
  std::string model = "emoji-flux";
  /// How the transformer's linear layers are stored and multiplied: `fluxq schemes` lists them.
  /// Empty: as the model's files are, bf16 for plain ones.
  std::string scheme = {};
  /// A recipe file that says which layer gets which scheme; empty: the default one.
  std::filesystem::path recipe = {};
  /// What the transformer's attention computes in: "bf16", or on the GPU "int8" or "fp8", which are
  /// faster and less accurate. They are for bf16 streams and heads of 128 columns, as FLUX.1's are;
  /// any other attention is computed as for "bf16".
  std::string attention = "bf16";
  /// "cuda", "cpu", or "auto": the GPU where this build and this machine have a usable one, else
  /// the CPU.
  std::string device = "auto";
  int threads = 0;  ///< of the CPU; 0: one per core
  /// Keep only the weights of one phase on the device: text encoders, conditioning, steps, VAE.
  /// Less memory, and each call of generate() loads all of them anew, even where all would fit.
  bool low_memory = false;
  /// The largest request to come: one that does not fit is refused before anything is loaded.
  std::optional<GenerateOptions> largest = {};
  /// The weights that are expected (PictureInfo::weights_sha256); Error(bad_argument) for others.
  /// Empty: any.
  std::string weights_sha256 = {};
};

/// Not for use from several threads at once.
class Engine {
 public:
  /// Reads, checks and quantizes the model. Errors: bad_argument, not_found, corrupt_file,
  /// unsupported, out_of_memory_*, cancelled.
  explicit Engine(const EngineOptions& options, Progress* progress = nullptr,
                  const CancelToken* cancel = nullptr);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;

  /// The pictures of one prompt. Errors: bad_argument (sizes, steps, text that is not UTF-8),
  /// out_of_memory_*, numeric (a value became NaN or infinite), cancelled.
  std::vector<Picture> generate(const GenerateOptions& options, Progress* progress = nullptr,
                                const CancelToken* cancel = nullptr);

 private:
  struct Implementation;
  std::unique_ptr<Implementation> implementation_;
};

/// The folder of a model: `name` itself when it is a folder, else `name` in one of the folders of
/// FLUXQ_MODELS (separated by colons), beside the program (build tree) or in the installed share
/// folder, and "synthetic:name" in their folders `synthetic`; "org/name" and "org/name@revision" in
/// the Hugging Face cache too. Error(not_found) lists where it looked.
std::filesystem::path find_model(const std::string& name);

}  // namespace fluxq
