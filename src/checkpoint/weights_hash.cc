#include "checkpoint/weights_hash.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/thread_pool.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

// "PART/FILE" of each weight file.
std::vector<std::string> weight_files(const fs::path& model) {
  std::vector<std::string> files;
  for (const std::string& part : list_folder(model)) {
    std::error_code ignored;
    if (part.starts_with('.') || !fs::is_directory(model / part, ignored)) continue;
    for (const std::string& file : list_folder(model / part))
      if (file.ends_with(".safetensors") && !file.starts_with('.'))
        files.push_back(part + "/" + file);
  }
  std::sort(files.begin(), files.end());  // "a-b/x" before "a/x"
  return files;
}

}  // namespace

std::string weights_sha256(const fs::path& model, int threads, const CancelToken& cancel) {
  std::error_code ignored;
  if (!fs::is_directory(model, ignored)) return sha256_file(model, cancel);
  const std::vector<std::string> files = weight_files(model);
  if (files.empty())
    fail(ErrorCode::not_found, "{}: expected folders with .safetensors files, got none",
         model.string());
  std::vector<std::string> hashes(files.size());
  ThreadPool pool(std::max(1, std::min(threads, static_cast<int>(files.size()))));
  pool.parallel_for(static_cast<int64_t>(files.size()),
                    [&](int64_t i, int) { hashes[i] = sha256_file(model / files[i], cancel); });
  std::string lines;
  for (size_t i = 0; i < files.size(); ++i) lines += hashes[i] + "  " + files[i] + "\n";
  return sha256_hex(lines);
}

}  // namespace fluxq
