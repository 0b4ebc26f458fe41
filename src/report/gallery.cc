#include "report/gallery.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "base/error.h"
#include "base/sha256.h"
#include "bench/results_json.h"
#include "image/png.h"
#include "metrics/flip.h"
#include "report/numbers.h"
#include "report/picture_tools.h"
#include "report/quality.h"

namespace fluxq::report {
namespace {

namespace fs = std::filesystem;

constexpr int kLeastSide = 40;
constexpr int64_t kPicturesPerRow = 5;  // both pictures, their difference, two zooms
constexpr int kEnlargedSide = 256;      // of zooms for Markdown, which cannot scale them
constexpr size_t kMaxProblems = 20;

using PictureKey = std::tuple<int, uint64_t, int, int>;

PictureKey key_of(const PictureResult& picture) {
  return {picture.prompt, picture.seed, picture.width, picture.height};
}

// One of a scheme's pictures that is shown large.
struct Choice {
  std::string rank;  // "worst"
  const PictureResult* picture;
};

std::string prompt_text(const Results& results, const PictureResult& picture) {
  const auto& prompts = results.plan.prompts;
  const auto index = static_cast<size_t>(picture.prompt);
  const std::string prompt = picture.prompt >= 0 && index < prompts.size()
                                 ? "“" + prompts[index] + "”"
                                 : fmt::format("prompt {}", picture.prompt);
  return fmt::format("{}, seed {}", prompt, picture.seed);
}

std::string flags_text(const PictureResult& picture) {
  if (picture.has_nan) return "NaN";
  if (picture.black) return "black";
  return picture.constant ? "constant" : "";
}

std::string figures_text(const PictureResult& picture) {
  if (!picture.flip) return "";
  std::string text = "FLIP " + fixed(*picture.flip, 4);
  if (picture.psnr_db)
    text += std::isinf(*picture.psnr_db) ? ", identical"
                                         : ", PSNR " + fixed(*picture.psnr_db, 1) + " dB";
  if (picture.ssim) text += ", SSIM " + fixed(*picture.ssim, 4);
  return text;
}

int side_within(int64_t pixels, int64_t count, int max_side) {
  const auto side =
      static_cast<int>(std::sqrt(static_cast<double>(pixels) / std::max<double>(1, count)));
  return std::min(side, max_side);
}

class Builder {
 public:
  Builder(const Analysis& analysis, const fs::path& run, const GalleryBudget& budget)
      : analysis_(analysis), results_(*analysis.results), run_(run), budget_(budget) {
    for (const PictureResult& picture : results_.pictures)
      if (picture.scheme == kBaseline) baseline_.emplace(key_of(picture), &picture);
  }

  Gallery build(Progress& progress, const CancelToken* cancel) {
    std::vector<std::pair<std::string, std::vector<Choice>>> schemes;
    int64_t large = 0;
    for (const SchemeQuality& quality : analysis_.quality) {
      schemes.emplace_back(quality.scheme, choices(quality.scheme));
      large += kPicturesPerRow * static_cast<int64_t>(schemes.back().second.size());
    }
    large_side_ = side_within(budget_.large_pixels, large, budget_.max_large_side);
    progress.begin("compare pictures", static_cast<int64_t>(schemes.size()));
    for (size_t i = 0; i < schemes.size(); ++i) {
      add_scheme(schemes[i].first, schemes[i].second, i + 1, cancel);
      progress.update(static_cast<int64_t>(i + 1));
    }
    add_small(progress, cancel);
    if (unmentioned_problems_ > 0)
      gallery_.problems.push_back(
          fmt::format("And {} more pictures like these.", unmentioned_problems_));
    return std::move(gallery_);
  }

 private:
  // The picture's file, or nothing and a problem.
  std::optional<Image> load(const PictureResult& picture) {
    const auto problem = [&](std::string_view what) -> std::optional<Image> {
      if (!reported_.insert(picture.file).second) return std::nullopt;
      if (gallery_.problems.size() < kMaxProblems)
        gallery_.problems.push_back(fmt::format("The picture \"{}\" {}.", picture.file, what));
      else
        ++unmentioned_problems_;
      return std::nullopt;
    };
    if (picture.file.empty()) return std::nullopt;  // NaN: no picture came out
    if (!is_inside_run(picture.file)) return problem("lies outside of the run's folder");
    try {
      const std::vector<std::byte> bytes = read_png_bytes(run_ / picture.file);
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      if (!picture.sha256.empty() && sha256_hex(text) != picture.sha256)
        return problem("was changed since the run");
      return decode_png(bytes, picture.file).image;
    } catch (const Error& error) {
      switch (error.code()) {
        case ErrorCode::not_found:
          return problem("is missing");
        case ErrorCode::out_of_memory_host:
          throw;
        default:
          return problem("cannot be read: " + std::string(error_info(error.code()).sentence));
      }
    }
  }

  const PictureResult* reference_of(const PictureResult& picture) const {
    const auto found = baseline_.find(key_of(picture));
    return found == baseline_.end() ? nullptr : found->second;
  }

  std::vector<Choice> choices(std::string_view scheme) const {
    std::vector<const PictureResult*> pictures;
    for (const PictureResult& picture : results_.pictures)
      if (picture.scheme == scheme && is_compared(picture) && reference_of(picture) != nullptr)
        pictures.push_back(&picture);
    std::stable_sort(pictures.begin(), pictures.end(),
                     [](const auto* a, const auto* b) { return *a->flip > *b->flip; });
    if (pictures.empty()) return {};
    std::vector<Choice> chosen = {{"worst", pictures.front()}};
    if (pictures.size() > 2) chosen.push_back({"median", pictures[pictures.size() / 2]});
    if (pictures.size() > 1) chosen.push_back({"best", pictures.back()});
    return chosen;
  }

  Picture shown(std::string caption, const Image* image, std::string link, int side) const {
    Picture picture;
    picture.caption = std::move(caption);
    picture.link = std::move(link);
    if (image == nullptr) {
      picture.detail = "no picture";
      return picture;
    }
    const Image small = shrink(*image, side);
    picture.png = encode_png(small);
    picture.width = small.width;
    picture.height = small.height;
    return picture;
  }

  // Of the page's own making: also a file for report.md.
  Picture made(std::string caption, const Image& image, const std::string& name, bool enlarged) {
    Picture picture = shown(std::move(caption), &image, "report/" + name, large_side_);
    picture.enlarged = enlarged;
    const int factor = enlarged ? std::max(1, kEnlargedSide / std::max(image.width, 1)) : 1;
    gallery_.files.push_back(
        {picture.link, factor > 1 ? encode_png(enlarge(image, factor)) : picture.png});
    return picture;
  }

  void add_scheme(const std::string& scheme, const std::vector<Choice>& chosen, size_t number,
                  const CancelToken* cancel) {
    if (chosen.empty()) return;
    gallery_.side_by_side.push_back(Heading{scheme});
    for (const Choice& choice : chosen) {
      if (cancel != nullptr) cancel->check();
      const PictureResult& picture = *choice.picture;
      const PictureResult& reference = *reference_of(picture);
      const std::optional<Image> ours = load(picture), theirs = load(reference);
      PictureRow row;
      row.title = fmt::format("{}{}: {}", static_cast<char>(std::toupper(choice.rank[0])),
                              choice.rank.substr(1), prompt_text(results_, picture));
      row.pictures.push_back(shown("bf16", theirs ? &*theirs : nullptr,
                                   is_inside_run(reference.file) ? reference.file : "",
                                   large_side_));
      row.pictures.push_back(shown(scheme, ours ? &*ours : nullptr,
                                   is_inside_run(picture.file) ? picture.file : "", large_side_));
      row.pictures.back().detail = figures_text(picture);
      const bool comparable =
          ours && theirs && ours->width == theirs->width && ours->height == theirs->height;
      if (comparable)
        add_maps(row, *theirs, *ours, scheme,
                 fmt::format("{:02}-{}-{}", number, slug(scheme), choice.rank));
      gallery_.side_by_side.push_back(std::move(row));
    }
  }

  void add_maps(PictureRow& row, const Image& reference, const Image& image,
                const std::string& scheme, const std::string& stem) {
    const Flip flip = fluxq::flip(reference, image);
    row.pictures.push_back(made("difference (FLIP)",
                                colour_map(flip.map, image.width, image.height), stem + "-map.png",
                                false));
    const Region region = worst_region(flip.map, image.width, image.height);
    const std::string where = fmt::format("worst region, at {}, {}", region.left, region.top);
    row.pictures.push_back(
        made("bf16, enlarged", crop(reference, region), stem + "-zoom-bf16.png", true));
    row.pictures.back().detail = where;
    row.pictures.push_back(
        made(scheme + ", enlarged", crop(image, region), stem + "-zoom.png", true));
    row.pictures.back().detail = where;
  }

  // Prompt by prompt, the baseline first, then as in the run.
  void add_small(Progress& progress, const CancelToken* cancel) {
    std::map<PictureKey, std::vector<const PictureResult*>> groups;
    std::vector<PictureKey> order;
    for (const PictureResult& picture : results_.pictures) {
      auto& group = groups[key_of(picture)];
      if (group.empty()) order.push_back(key_of(picture));
      group.push_back(&picture);
    }
    const auto total = static_cast<int64_t>(results_.pictures.size());
    const int64_t most = budget_.small_pixels / (kLeastSide * kLeastSide);
    const int side =
        side_within(budget_.small_pixels, std::min(total, most), budget_.max_small_side);
    progress.begin("shrink pictures", std::min(total, most));
    int64_t done = 0;
    for (const PictureKey& key : order) {
      Thumbnails thumbnails;
      for (const PictureResult* picture : groups[key]) {
        if (done == most) break;
        if (cancel != nullptr) cancel->check();
        const std::optional<Image> image = load(*picture);
        Picture small = shown(picture->scheme, image ? &*image : nullptr, "", side);
        const std::string flags = flags_text(*picture);
        if (!flags.empty()) {
          small.detail = flags;
          small.tone = Tone::bad;
        } else if (picture->flip) {
          small.detail = fixed(*picture->flip, 4);
        }
        thumbnails.pictures.push_back(std::move(small));
        progress.update(++done);
      }
      if (thumbnails.pictures.empty()) break;
      thumbnails.title = prompt_text(results_, *groups[key].front());
      gallery_.small.push_back(std::move(thumbnails));
    }
    if (done < total)
      gallery_.small.push_back(Paragraph{
          fmt::format("{} of {} pictures are shown; all are in the run's folder.", done, total),
          Tone::quiet});
  }

  const Analysis& analysis_;
  const Results& results_;
  const fs::path& run_;
  const GalleryBudget& budget_;
  std::map<PictureKey, const PictureResult*> baseline_;
  std::set<std::string> reported_;
  int64_t unmentioned_problems_ = 0;
  int large_side_ = 0;
  Gallery gallery_;
};

}  // namespace

std::string slug(std::string_view name) {
  std::string safe;
  for (const char c : name.substr(0, 40)) {
    const auto byte = static_cast<unsigned char>(c);
    safe += (byte < 128 && std::isalnum(byte)) || c == '-' || c == '_' ? c : '-';
  }
  return safe;
}

Gallery make_gallery(const Analysis& analysis, const fs::path& run, Progress* progress,
                     const CancelToken* cancel, const GalleryBudget& budget) {
  Progress silent;
  return Builder(analysis, run, budget).build(progress ? *progress : silent, cancel);
}

}  // namespace fluxq::report
