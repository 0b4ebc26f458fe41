/// The index of a sharded checkpoint, and the opening of what it names.
#include "checkpoint/shard_index.h"
#include "checkpoint/tensor_store.h"
#include "target.h"

namespace fluxq::fuzz {

void read(std::string_view input) {
  static const Scratch scratch;
  for (const auto& [tensor, file] : parse_shard_index(input, "index").weight_map) {
    expect(file.find_first_of("/\\") == file.npos && !file.starts_with('.') &&
               file.ends_with(".safetensors"),
           "a shard is a plain name");
  }
  scratch.put("model.safetensors.index.json", input);
  const TensorStore store(scratch.path());
}

std::string repaired(std::string input) { return input; }

}  // namespace fluxq::fuzz
