#include "pipeline/stage_dump.h"

#include "checkpoint/writer.h"

namespace fluxq {

void StageDump::save(const std::filesystem::path& folder) const {
  std::error_code error;
  std::filesystem::create_directory(folder, error);
  if (error)
    fail(ErrorCode::io, "the dump folder {}: cannot be made: {}", folder.string(), error.message());
  save_safetensors(folder / "stages.safetensors", stages_);
}

}  // namespace fluxq
