/// A file that comes in chunks, in any order, and survives the end of the process: the bytes in
/// NAME.fluxq.incomplete, and which chunks are there in NAME.fluxq-state.incomplete (both endings
/// are those that huggingface_hub takes for unfinished downloads, and its names never meet ours).
/// The state is a hint only: what it says is held to the hash of the whole at the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"

namespace fluxq {

class PartialFile {
 public:
  struct Plan {
    uint64_t bytes = 0;
    std::string hash;  ///< what the whole will have; a state for another one is not used
    uint64_t chunk_bytes = 0;
  };

  /// Opens or creates the two files beside `final_path`, whose folder must exist. The caller holds
  /// a lock. Errors: disk_full, io.
  PartialFile(const std::filesystem::path& final_path, const Plan& plan);
  /// Saves the state, or removes the files if no chunk is there.
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  size_t chunk_count() const { return done_.size(); }
  uint64_t chunk_begin(size_t chunk) const { return chunk * plan_.chunk_bytes; }
  uint64_t chunk_end(size_t chunk) const;
  bool is_done(size_t chunk) const { return done_[chunk]; }
  uint64_t done_bytes() const;
  /// Were chunks found that an earlier process brought?
  bool was_resumed() const { return resumed_; }

  /// The server's name for this version of the file (a strong ETag), kept with the chunks.
  const std::string& validator() const { return validator_; }
  void set_validator(const std::string& validator) { validator_ = validator; }

  /// Safe from several threads at once.
  void write(uint64_t offset, std::span<const std::byte> bytes);
  /// The state is saved about once a second, after the bytes are on the disk. Not from several
  /// threads at once.
  void mark_done(size_t chunk);
  /// Forgets all chunks.
  void reset();

  /// Flushes and renames to the final path. Nothing may follow.
  void publish();
  /// Removes both files. Nothing may follow.
  void discard();

 private:
  using Clock = std::chrono::steady_clock;

  bool load_state();
  void save_state();

  std::filesystem::path final_path_, path_, state_path_;
  Plan plan_;
  FileDescriptor fd_;
  std::vector<bool> done_;
  std::string validator_;
  bool resumed_ = false;
  bool unsaved_ = false;
  bool over_ = false;  // published or discarded
  Clock::time_point saved_at_ = Clock::now();
};

/// The unfinished files that PartialFile leaves beside `final_path`.
std::filesystem::path partial_path(const std::filesystem::path& final_path);
std::filesystem::path partial_state_path(const std::filesystem::path& final_path);

}  // namespace fluxq
