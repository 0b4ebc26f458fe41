/// For tests of this room: environment variables that go back to what they were.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace fluxq::testing {

/// Sets (or with nullptr removes) variables until the end of its life.
class Environment {
 public:
  Environment() = default;
  ~Environment() {
    for (auto it = before_.rbegin(); it != before_.rend(); ++it) assign(it->first, it->second);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  void set(const std::string& name, const char* value) {
    const char* now = std::getenv(name.c_str());
    before_.emplace_back(name, now ? std::optional<std::string>(now) : std::nullopt);
    assign(name, value ? std::optional<std::string>(value) : std::nullopt);
  }
  void set(const std::string& name, const std::string& value) { set(name, value.c_str()); }

 private:
  static void assign(const std::string& name, const std::optional<std::string>& value) {
    value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }

  std::vector<std::pair<std::string, std::optional<std::string>>> before_;
};

/// Only `home` is set among what cache_layout.h reads, and no proxy.
class HubEnvironment : public Environment {
 public:
  explicit HubEnvironment(const std::string& home) {
    for (const char* name :
         {"XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_TOKEN_PATH",
          "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE",
          "HF_ENDPOINT", "http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"})
      set(name, nullptr);
    set("HOME", home);
  }
};

}  // namespace fluxq::testing
