/// A Hub for tests: one model behind the API that fluxq asks, with its large files at a second
/// server (another port is another origin), as on the real one.
#pragma once

#include <fmt/format.h>

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/sha256.h"
#include "base/test_support.h"
#include "hub/content.h"
#include "hub/testing_server.h"

namespace fluxq::testing {

inline const std::string kTestCommit = "0123456789abcdef0123456789abcdef01234567";

inline std::string git_hash(const std::string& content) {
  const TempFolder folder;
  write_test_file(folder / "x", content);
  return hash_file(folder / "x", std::string(40, '0'), CancelToken());
}

/// Answers like a good server: ranges, If-Range, ETag.
inline ServerReply serve(const ServerRequest& request, const std::string& content,
                         const std::string& etag) {
  ServerReply reply{.headers = {"ETag: " + etag}};
  const std::string range = request.header("range");
  if (range.empty() || (request.has("if-range") && request.header("if-range") != etag)) {
    reply.body = content;
    return reply;
  }
  size_t begin = 0, last = 0;
  std::sscanf(range.c_str(), "bytes=%zu-%zu", &begin, &last);
  if (begin >= content.size()) {
    reply.status = 416;
    return reply;
  }
  last = std::min(last, content.size() - 1);
  reply.status = 206;
  reply.headers.push_back(
      fmt::format("Content-Range: bytes {}-{}/{}", begin, last, content.size()));
  reply.body = content.substr(begin, last - begin + 1);
  return reply;
}

class TestingHub {
 public:
  /// Looks at each request first; what it returns is the answer.
  using Hook = std::function<std::optional<ServerReply>(const ServerRequest&)>;

  /// Files of at least 1000 bytes are LFS files.
  explicit TestingHub(std::map<std::string, std::string> files)
      : files_(std::move(files)),
        cdn_([this](const ServerRequest& request) { return answer_cdn(request); }),
        hub_([this](const ServerRequest& request) { return answer_hub(request); }) {}

  std::string url() const { return hub_.url(); }
  std::vector<ServerRequest> requests() const { return hub_.requests(); }
  std::vector<ServerRequest> cdn_requests() const { return cdn_.requests(); }

  static bool is_lfs(const std::string& content) { return content.size() >= 1000; }
  static std::string hash(const std::string& content) {
    return is_lfs(content) ? sha256_hex(content) : git_hash(content);
  }

  std::string listing() const {
    std::string siblings;
    for (const auto& [path, content] : files_) {
      siblings += fmt::format(R"({}{{"rfilename":"{}","size":{},"blobId":"{}")",
                              siblings.empty() ? "" : ",", path, content.size(),
                              is_lfs(content) ? std::string(40, 'b') : git_hash(content));
      if (is_lfs(content))
        siblings += fmt::format(R"(,"lfs":{{"sha256":"{}","size":{},"pointerSize":134}})",
                                sha256_hex(content), content.size());
      siblings += "}";
    }
    return fmt::format(R"({{"id":"org/name","sha":"{}","siblings":[{}]}})", kTestCommit, siblings);
  }

  // Set before the first request.
  Hook on_hub, on_cdn;
  std::string etag = "\"v1\"";  ///< of the second server

 private:
  ServerReply answer_hub(const ServerRequest& request) {
    const std::lock_guard lock(mutex_);
    if (on_hub)
      if (auto reply = on_hub(request)) return *reply;
    if (request.target.starts_with("/api/models/org/name/revision/main?"))
      return {.body = listing()};
    const std::string resolve = "/org/name/resolve/" + kTestCommit + "/";
    if (!request.target.starts_with(resolve))
      return {.status = 404, .headers = {"X-Error-Code: RepoNotFound"}};
    const std::string path = request.target.substr(resolve.size());
    const auto found = files_.find(path);
    if (found == files_.end()) return {.status = 404, .headers = {"X-Error-Code: EntryNotFound"}};
    if (is_lfs(found->second))
      return {.status = 302,
              .headers = {"Location: " + cdn_.url() + "/" + path + "?Signature=s3cret"}};
    return serve(request, found->second, '"' + git_hash(found->second) + '"');
  }

  ServerReply answer_cdn(const ServerRequest& request) {
    const std::lock_guard lock(mutex_);
    if (on_cdn)
      if (auto reply = on_cdn(request)) return *reply;
    const std::string path = request.target.substr(1, request.target.find('?') - 1);
    return serve(request, files_.at(path), etag);
  }

  std::map<std::string, std::string> files_;
  std::mutex mutex_;
  TestingServer cdn_, hub_;
};

}  // namespace fluxq::testing
