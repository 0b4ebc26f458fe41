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
  const auto names_in = [&](const fs::path& folder) {
    return fs::is_directory(folder, error) ? list_folder(folder) : std::vector<std::string>();
  };
  const auto clear = [&](const fs::path& folder) {
    for (const std::string& name : names_in(folder))
      if (name.starts_with('.') && name.ends_with(".tmp")) fs::remove(folder / name, error);
  };
  clear(run_folder);
  clear(run_folder / kLatentsFolder);
  const fs::path pictures = run_folder / "pictures";
  for (const std::string& scheme : names_in(pictures)) clear(pictures / scheme);
}

void remove_latents(const fs::path& run_folder) {
  std::error_code error;
  fs::remove_all(run_folder / kLatentsFolder, error);
}

}  // namespace fluxq
