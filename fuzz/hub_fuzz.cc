/// What the Hub answers: a model's listing; and names and addresses as they come in it or are
/// typed.
#include "base/error.h"
#include "hub/cache_layout.h"
#include "hub/listing.h"
#include "hub/url.h"
#include "target.h"

namespace fluxq::fuzz {
namespace {

bool stays_inside(const std::string& path) {
  const std::filesystem::path relative(path);
  if (relative.is_absolute() || path.empty()) return false;
  for (const auto& part : relative)
    if (part == ".." || part == ".") return false;
  return true;
}

void check_names(std::string_view text) {
  if (const auto name = parse_hub_name(text)) {
    expect(repo_folder_name(name->repo).find('/') == std::string::npos,
           "a model's folder is one name");
    expect(stays_inside(name->revision), "a revision stays inside refs/");
  }
  try {
    const Url url{std::string(text)};
    expect(url.text().starts_with("http"), "an address is http or https");
    url.resolve(std::string(text));
  } catch (const Error&) {
    // No address.
  }
}

}  // namespace

void read(std::string_view input) {
  check_names(input.substr(0, 300));
  const HubListing listing = parse_listing(input, "org/name", "the Hub");
  expect(is_commit(listing.commit), "a commit is one");
  for (const HubFile& file : listing.files) {
    expect(stays_inside(file.path), "a file stays inside the folder");
    expect(file.hash.size() == 40 || file.hash.size() == 64, "a file has a hash");
  }
  select_files(listing, {});
}

std::string repaired(std::string input) { return input; }

}  // namespace fluxq::fuzz
