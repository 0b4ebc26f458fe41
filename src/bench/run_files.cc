#include "bench/run_files.h"

#include <fmt/format.h>

#include "base/file.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLatentsFolder = ".latents";

std::string stem(const PictureResult& picture) {
  return fmt::format("{}x{}-p{:03}-s{}", picture.width, picture.height, picture.prompt,
                     picture.seed);
}

}  // namespace

std::string picture_file(const PictureResult& picture) {
  return fmt::format("pictures/{}/{}.png", picture.scheme, stem(picture));
}

fs::path latents_file(const fs::path& run_folder, const PictureResult& picture) {
  return run_folder / kLatentsFolder / (stem(picture) + ".bf16");
}

void write_latents(const fs::path& file, std::span<const Tensor> steps) {
  std::error_code error;
  fs::create_directories(file.parent_path(), error);  // writing says what went wrong
  AtomicFile out(file);
  for (const Tensor& step : steps) {
    const Tensor values = converted(step, DType::bf16);
    out.write(std::span(static_cast<const std::byte*>(values.raw()),
                        static_cast<size_t>(values.bytes())));
  }
  out.commit();
}

std::vector<std::vector<float>> read_latents(const fs::path& file, int steps, int64_t elements) {
  const InputFile in(file);
  const Tensor values = Tensor::on_host(DType::bf16, {elements});
  const auto step_bytes = static_cast<uint64_t>(values.bytes());
  if (in.size() != step_bytes * static_cast<uint64_t>(steps))
    fail(ErrorCode::corrupt_file, "{}: expected {} bytes, got {}", file.string(),
         step_bytes * static_cast<uint64_t>(steps), in.size());
  std::vector<std::vector<float>> latents;
  for (int step = 0; step < steps; ++step) {
    in.read_at(step_bytes * static_cast<uint64_t>(step),
               std::span(static_cast<std::byte*>(values.raw()), step_bytes));
    latents.push_back(to_floats(values));
  }
  return latents;
}

void remove_leftovers(const fs::path& run_folder) {
  std::error_code error;
  std::vector<fs::path> leftovers;
  const auto collect = [&](const fs::path& folder) {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with('.') && name.ends_with(".tmp")) leftovers.push_back(entry.path());
    }
  };
  collect(run_folder);
  collect(run_folder / kLatentsFolder);
  for (const fs::directory_entry& entry : fs::directory_iterator(run_folder / "pictures", error))
    if (entry.is_directory(error)) collect(entry.path());
  for (const fs::path& leftover : leftovers) fs::remove(leftover, error);
}

void remove_latents(const fs::path& run_folder) {
  std::error_code error;
  fs::remove_all(run_folder / kLatentsFolder, error);
}

}  // namespace fluxq
