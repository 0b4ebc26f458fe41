#include "pipeline/distort.h"

#include <algorithm>
#include <tuple>

namespace fluxq {
namespace {

const Scheme& baseline() { return find_scheme("bf16"); }

}  // namespace

std::vector<const Scheme*> distortable_schemes(Device device) {
  std::vector<const Scheme*> schemes;
  for (const Scheme* scheme : all_schemes()) {
    if (scheme != &baseline() && scheme->stream() == baseline().stream() && scheme->runs_on(device))
      schemes.push_back(scheme);
  }
  return schemes;
}

std::vector<LayerDistortion> distort(const ModelFolder& model,
                                     std::span<const Scheme* const> schemes,
                                     const std::filesystem::path& recipe_file,
                                     std::span<const Request> requests, Kernels& kernels,
                                     Progress& progress, const CancelToken& cancel) {
  for (const Scheme* scheme : schemes) {
    if (scheme->stream() != baseline().stream())
      fail(ErrorCode::bad_argument,
           "scheme {} computes in {}: expected one that computes in {} as {} does, whose inputs "
           "are studied",
           scheme->info().name, dtype_name(scheme->stream()), dtype_name(baseline().stream()),
           baseline().info().name);
  }
  std::vector<LayerDistortion> found;
  for (const Scheme* scheme : schemes) {
    const ProbeScheme probe(baseline(), *scheme);
    const Recipe recipe =
        recipe_file.empty() ? Recipe::standard(probe) : Recipe::load(recipe_file, probe);
    TextToImage pipeline(model, recipe, kernels, progress, cancel);
    for (const Request& request : requests) pipeline.run(request, progress, cancel);
    found.insert(found.end(), probe.layers().begin(), probe.layers().end());
  }
  std::ranges::sort(found, [](const LayerDistortion& a, const LayerDistortion& b) {
    const double left = a.output.relative(), right = b.output.relative();
    return left != right
               ? left > right
               : std::tie(a.scheme, a.layer, a.in_begin) < std::tie(b.scheme, b.layer, b.in_begin);
  });
  return found;
}

}  // namespace fluxq
