/// `fluxq cache`: what models, runs and caches take on the disk, whether cached models are intact,
/// and removing what is named.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>
#include <iostream>

#include "base/error.h"
#include "cli/commands.h"
#include "cli/progress_bar.h"
#include "hub/cache_items.h"
#include "hub/cache_layout.h"
#include "hub/verify.h"

namespace fluxq::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::array kKinds = {CacheKind::hub,        CacheKind::runs,  CacheKind::quantized,
                               CacheKind::algorithms, CacheKind::torch, CacheKind::torchao,
                               CacheKind::pip};

struct Options {
  std::vector<std::string> models;
  std::vector<fs::path> runs, quantized;
  bool hub = false, algorithms = false, torch = false, torchao = false, pip = false;
  std::string older_than;
  bool dry_run = false, yes = false, remove = false, json = false;
};

/// "30d", "12h", "2w", "45min": seconds.
int64_t parse_age(const std::string& text) {
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  constexpr std::array<std::pair<std::string_view, int64_t>, 4> kUnits = {
      {{"min", 60}, {"h", 3600}, {"d", 86'400}, {"w", 604'800}}};
  for (const auto& [name, seconds] : kUnits)
    if (error == std::errc() && unit == name && count >= 0 && count <= 1'000'000)
      return count * seconds;
  fail(ErrorCode::bad_argument,
       "--older-than \"{}\": expected a number and min, h, d or w, such as 30d", text);
}

std::string format_date(std::time_t time) {
  if (time == 0) return "-";
  std::tm local = {};
  ::localtime_r(&time, &local);
  return fmt::format("{:04}-{:02}-{:02}", local.tm_year + 1900, local.tm_mon + 1, local.tm_mday);
}

std::string bytes_text(uint64_t bytes) { return format_bytes(static_cast<int64_t>(bytes)); }

Json to_json(const CacheItem& item) {
  Json json = {{"kind", to_string(item.kind)}, {"name", item.name},
               {"path", item.path.string()},   {"bytes", item.size.bytes},
               {"files", item.size.files},     {"last_use", item.size.last_use}};
  if (item.kind == CacheKind::hub) {
    json["revisions"] = item.revisions;
    json["unfinished_bytes"] = item.unfinished_bytes;
    json["is_flux"] = item.is_flux;
  }
  return json;
}

std::string line_of(const CacheItem& item) {
  std::string notes;
  if (item.kind == CacheKind::hub) {
    notes = fmt::format("{}", fmt::join(item.revisions, ", "));
    if (item.unfinished_bytes > 0)
      notes += fmt::format("{}{} unfinished", notes.empty() ? "" : ", ",
                           bytes_text(item.unfinished_bytes));
    if (!item.is_flux) notes += ", not a FLUX.1 pipeline";
  }
  return fmt::format("{:<10} {:>9}  {:<10}  {}{}{}\n", to_string(item.kind),
                     bytes_text(item.size.bytes), format_date(item.size.last_use), item.name,
                     notes.empty() ? "" : "  ", notes);
}

void append(std::vector<CacheItem>& items, std::vector<CacheItem> more) {
  items.insert(items.end(), std::make_move_iterator(more.begin()),
               std::make_move_iterator(more.end()));
}

uint64_t total_bytes(const std::vector<CacheItem>& items) {
  uint64_t bytes = 0;
  for (const CacheItem& item : items) bytes += item.size.bytes;
  return bytes;
}

void list(const Options& options, const Session& session) {
  std::vector<CacheItem> items;
  for (const CacheKind kind : kKinds) {
    const std::vector<fs::path> folders =
        kind == CacheKind::runs ? options.runs : options.quantized;
    append(items, find_items(kind, folders, session.cancel));
  }
  if (options.json) {
    Json array = Json::array();
    for (const CacheItem& item : items) array.push_back(to_json(item));
    return print_json(
        {{"cache", hub_paths().cache.string()}, {"items", array}, {"bytes", total_bytes(items)}});
  }
  std::string text = fmt::format("Hugging Face cache: {}\n", hub_paths().cache.string());
  if (!items.empty())
    text += fmt::format("\n{:<10} {:>9}  {:<10}  {}\n", "kind", "size", "last use", "name");
  for (const CacheItem& item : items) text += line_of(item);
  print(text + fmt::format("\nin all {}\n", bytes_text(total_bytes(items))));
}

/// The cached models that are named; without names all, or those that are FLUX.1 pipelines.
std::vector<CacheItem> named_models(const std::vector<std::string>& names, bool flux_only,
                                    const Session& session) {
  const std::vector<CacheItem> all = find_items(CacheKind::hub, {}, session.cancel);
  std::vector<CacheItem> chosen;
  std::vector<std::string> known;
  for (const CacheItem& item : all) known.push_back(item.name);
  for (const std::string& name : names)
    if (std::find(known.begin(), known.end(), name) == known.end())
      fail(ErrorCode::not_found, "the model \"{}\" is not in {}.{}", name,
           hub_paths().cache.string(), did_you_mean(name, known));
  std::copy_if(all.begin(), all.end(), std::back_inserter(chosen), [&](const CacheItem& item) {
    const bool is_named = std::find(names.begin(), names.end(), item.name) != names.end();
    return is_named || (names.empty() && (item.is_flux || !flux_only));
  });
  return chosen;
}

Verification verified(const CacheItem& item, const Session& session) {
  ProgressBar progress(session);
  return verify_model(item.path, progress, session.cancel);
}

void remove_file(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) fail_errno(fmt::format("cannot remove {}", path.string()), error.value());
}

/// What was found in one model, as text and JSON; removes what is to be removed.
Json tell(const CacheItem& item, const Verification& result, bool remove, std::string& text) {
  Json faults = Json::array();
  text +=
      fmt::format("{}: {} files, {}, {} {}\n", item.name, result.files, bytes_text(result.bytes),
                  result.faults.size(), result.faults.size() == 1 ? "fault" : "faults");
  for (const CacheFault& fault : result.faults) {
    const bool removed = remove && fault.removable;
    if (removed) remove_file(fault.path);
    Json entry = {{"path", fault.path.string()}, {"fault", fault.sentence}, {"removed", removed}};
    faults.push_back(std::move(entry));
    text += fmt::format("  {}: {}{}\n", fault.path.string(), fault.sentence,
                        removed ? "; removed" : "");
  }
  return {{"name", item.name},
          {"files", result.files},
          {"bytes", result.bytes},
          {"faults", std::move(faults)}};
}

void verify(const Options& options, Session& session) {
  Json models = Json::array();
  std::string text;
  uint64_t faults = 0;
  for (const CacheItem& item : named_models(options.models, false, session)) {
    const Verification result = verified(item, session);
    models.push_back(tell(item, result, options.remove, text));
    faults += result.faults.size();
  }
  if (models.empty()) text = "no model in the cache\n";
  options.json ? print_json({{"models", models}, {"faults", faults}}) : print(text);
  if (faults > 0 && !options.remove) {
    note(session, "with --remove the faulty files go, and fluxq fetch brings them again");
    session.exit_status = error_info(ErrorCode::corrupt_file).exit_status;
  }
}

std::vector<CacheItem> items_to_clean(const Options& options, const Session& session) {
  std::vector<CacheItem> items;
  const auto add = [&](bool wanted, CacheKind kind, const std::vector<fs::path>& folders) {
    if (!wanted) return;
    append(items, find_items(kind, folders, session.cancel));
  };
  if (options.hub) items = named_models(options.models, true, session);
  add(!options.runs.empty(), CacheKind::runs, options.runs);
  add(!options.quantized.empty(), CacheKind::quantized, options.quantized);
  add(options.algorithms, CacheKind::algorithms, {});
  add(options.torch, CacheKind::torch, {});
  add(options.torchao, CacheKind::torchao, {});
  add(options.pip, CacheKind::pip, {});
  if (!options.older_than.empty()) {
    const std::time_t limit = std::time(nullptr) - parse_age(options.older_than);
    std::erase_if(items, [&](const CacheItem& item) { return item.size.last_use > limit; });
  }
  return items;
}

bool agrees(const std::vector<CacheItem>& items, const Session& session) {
  if (::isatty(STDIN_FILENO) != 1)
    fail(ErrorCode::bad_argument,
         "cache clean asks before it removes anything: without a terminal it needs --yes");
  for (const CacheItem& item : items) fmt::print(stderr, "{}", line_of(item));
  fmt::print(stderr, "Remove this, {} in all? [y/N] ", bytes_text(total_bytes(items)));
  std::string answer;
  std::getline(std::cin, answer);
  session.cancel.check();
  return answer == "y" || answer == "Y" || answer == "yes";
}

void clean(const Options& options, Session& session) {
  if (!options.hub && options.runs.empty() && options.quantized.empty() && !options.algorithms &&
      !options.torch && !options.torchao && !options.pip)
    fail(ErrorCode::bad_argument,
         "cache clean: expected what to remove: --hub, --runs DIR, --quantized DIR, --algorithms, "
         "--torch, --torchao or --pip");
  if (!options.models.empty() && !options.hub)
    fail(ErrorCode::bad_argument, "cache clean: models are named together with --hub");
  const std::vector<CacheItem> items = items_to_clean(options, session);
  const bool works = !options.dry_run && !items.empty();
  if (works && !options.yes && !agrees(items, session)) return note(session, "nothing was removed");
  TreeSize freed;
  Json array = Json::array();
  std::string text, failures;
  for (const CacheItem& item : items) {
    Json json = to_json(item);
    if (works) {
      try {
        const TreeSize one = remove_item(item, session.cancel);
        freed += one;
        json["freed_bytes"] = one.bytes;
        if (std::error_code ignored; fs::exists(item.path, ignored))
          note(session, fmt::format("{} stays: other files are in it", item.path.string()));
      } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) throw;
        json["failure"] = error.what();
        failures += fmt::format("{}{}", failures.empty() ? "" : "; ", error.what());
      }
    }
    array.push_back(json);
    text += line_of(item);
  }
  if (options.json) {
    print_json({{"items", array},
                {"bytes", total_bytes(items)},
                {"freed_bytes", freed.bytes},
                {"dry_run", options.dry_run}});
  } else if (items.empty()) {
    print("nothing to remove\n");
  } else {
    print(text + (works ? fmt::format("removed {} files, {} came back\n", freed.files,
                                      bytes_text(freed.bytes))
                        : fmt::format("would remove {}\n", bytes_text(total_bytes(items)))));
  }
  if (!failures.empty()) fail(ErrorCode::io, "not everything could be removed: {}", failures);
}

void add_folders(CLI::App& command, Options& options) {
  command
      .add_option("--runs", options.runs, "Runs of bench: such folders, or folders that hold them")
      ->allow_extra_args(false);
  command.add_option("--quantized", options.quantized, "Quantized models, likewise")
      ->allow_extra_args(false);
}

}  // namespace

void add_cache(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  CLI::App* cache = app.add_subcommand("cache", "List, verify and clean models, runs and caches");
  cache->require_subcommand(1);
  cache->footer("Example: fluxq cache list --runs results");

  CLI::App* list_command =
      cache->add_subcommand("list", "What there is, its size on the disk and its last use");
  list_command->footer("Example: fluxq cache list --runs results --quantized models");
  add_folders(*list_command, *options);
  list_command->add_flag("--json", options->json, "One JSON object on standard output");
  list_command->callback([options, &session] { list(*options, session); });

  CLI::App* verify_command =
      cache->add_subcommand("verify", "Hold the files of cached models to their hashes");
  verify_command->footer(
      "Exit status 4 if something is wrong.\nExample: fluxq cache verify "
      "black-forest-labs/FLUX.1-schnell");
  verify_command->add_option("MODEL", options->models, "org/name (default: all)");
  verify_command->add_flag("--remove", options->remove,
                           "Remove what is wrong, so that fetch brings it again");
  verify_command->add_flag("--json", options->json, "One JSON object on standard output");
  verify_command->callback([options, &session] { verify(*options, session); });

  CLI::App* clean_command =
      cache->add_subcommand("clean", "Remove what is named here, after a question");
  clean_command->footer(
      "Only what fluxq recognizes is touched, and links are not followed. Without MODEL, --hub "
      "means\n"
      "the FLUX.1 models of the cache; other models go only when they are named.\n"
      "Example: fluxq cache clean --hub --runs results --older-than 30d --dry-run");
  clean_command->add_option("MODEL", options->models, "org/name, with --hub");
  clean_command->add_flag("--hub", options->hub, "Models in the Hugging Face cache");
  add_folders(*clean_command, *options);
  clean_command->add_flag("--algorithms", options->algorithms, "What fluxq itself keeps");
  clean_command->add_flag("--torch", options->torch, "PyTorch's downloads and compiled code");
  clean_command->add_flag("--torchao", options->torchao, "torchao's cache");
  clean_command->add_flag("--pip", options->pip, "pip's cache");
  clean_command->add_option("--older-than", options->older_than,
                            "Only what was not used for so long: 30d, 12h, 2w");
  clean_command->add_flag("--dry-run", options->dry_run, "Say it, do not do it");
  clean_command->add_flag("-y,--yes", options->yes, "Do not ask");
  clean_command->add_flag("--json", options->json, "One JSON object on standard output");
  clean_command->callback([options, &session] { clean(*options, session); });
}

}  // namespace fluxq::cli
