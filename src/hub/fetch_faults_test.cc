/// Fetching from a Hub that misbehaves: either all arrives or nothing is published.
#include "hub/fetch.h"

#include "hub/testing_fetch.h"

namespace fluxq {
namespace {

using namespace testing;
using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(Fetch, CutConnectionsAreTakenUpAgain) {
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    if (++count % 3 != 0) return {};
    ServerReply reply = serve(request, kFiles.at("transformer/a.safetensors"), hub_.etag);
    reply.cut_after = 300;
    return request.target.starts_with("/transformer") ? std::optional(reply) : std::nullopt;
  };
  const FetchResult result = fetch();
  expect_complete(result);
  EXPECT_EQ(result.network_bytes + 2, result.bytes) << "no byte came twice";
}

TEST_F(Fetch, AConnectionThatStallsIsGivenUp) {
  options_.download.http.window_ms = 100;
  options_.download.http.min_bytes_per_window = 10;
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    if (count++ > 0) return {};
    ServerReply reply = serve(request, kFiles.at("transformer/a.safetensors"), hub_.etag);
    reply.cut_after = 10;
    reply.stall_after_cut = true;
    return reply;
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
}

TEST_F(Fetch, AServerWithoutRangesServesWholeFiles) {
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    const std::string path = request.target.substr(1, request.target.find('?') - 1);
    return ServerReply{.headers = {"ETag: " + hub_.etag}, .body = kFiles.at(path)};
  };
  expect_complete(fetch());
}

TEST_F(Fetch, ARangeOfOtherBytesIsNotTaken) {
  for (const std::string range : {"bytes 0-999/25000", "bytes 7-8/*", "garbage", ""}) {
    fs::remove_all(model());
    hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
      if (!request.has("range")) return {};
      return ServerReply{
          .status = 206, .headers = {"Content-Range: " + range}, .body = std::string(1000, 'x')};
    };
    options_.only = {"transformer"};
    expect_complete(fetch());
  }
}

TEST_F(Fetch, WrongLengthsAreRefused) {
  options_.only = {"transformer"};
  for (const std::string& body : {noise(24'999, 1), noise(25'001, 1), std::string()}) {
    hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
      return serve(request, body, hub_.etag);
    };
    EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "expected 25000 bytes");
    expect_absent("transformer/a.safetensors");
  }
}

TEST_F(Fetch, ALengthThatLiesIsRefused) {
  options_.only = {"vae"};
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    return ServerReply{.body = kFiles.at("vae/b.safetensors"), .length_lie = 1};
  };
  EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "expected 1000 bytes, got a file of 1001");
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    return ServerReply{.raw = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + noise(1500, 3)};
  };
  EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "expected 1000 bytes, got more");
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    return ServerReply{.raw = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + noise(999, 3)};
  };
  EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "expected 1000 bytes, got 999");
  expect_absent("vae/b.safetensors");
}

TEST_F(Fetch, WrongContentsAreNeverPublished) {
  for (const std::string path : {"transformer/a.safetensors", "vae/b.safetensors"}) {
    hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
      std::string wrong = kFiles.at(path);
      wrong[500] ^= 1;
      return serve(request, wrong, hub_.etag);
    };
    options_.only = {path};
    EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, path + ": expected SHA-256");
    expect_absent(path);
    for (const std::string& name : list_folder(model() / "blobs"))
      EXPECT_EQ(name.find("incomplete"), std::string::npos) << name;
  }
  hub_.on_hub = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    if (!request.target.ends_with("/vae/config.json")) return {};
    return ServerReply{.body = "[]"};
  };
  options_.only = {"vae/config.json"};
  EXPECT_FLUXQ_ERROR(fetch(), corrupt_file, "vae/config.json: expected git SHA-1");
  expect_absent("vae/config.json");
}

TEST_F(Fetch, AChangedEtagStartsTheFileAnew) {
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    if (++count == 5) hub_.etag = "\"v2\"";
    return {};
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
  // A server that names each answer anew: the hash decides.
  fs::remove_all(model());
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    hub_.etag = fmt::format("\"{}\"", ++count);
    ServerRequest plain = request;
    plain.headers.erase("if-range");
    return serve(plain, kFiles.at("transformer/a.safetensors"), hub_.etag);
  };
  expect_complete(fetch());
}

TEST_F(Fetch, ARangeBeyondTheFileStartsItAnew) {
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    if (++count == 3) return ServerReply{.status = 416};
    return {};
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
}

TEST_F(Fetch, AnExpiredLinkIsAskedForAgain) {
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    if (++count == 6) return ServerReply{.status = 403, .body = "<Error>AccessDenied</Error>"};
    return {};
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
  size_t resolved = 0;
  for (const ServerRequest& request : hub_.requests())
    resolved += request.target.ends_with("a.safetensors");
  EXPECT_GE(resolved, 2u);
  fs::remove_all(model());
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    return ServerReply{.status = 403};
  };
  EXPECT_FLUXQ_ERROR(fetch(), network, "transformer/a.safetensors: 6 attempts failed");
}

TEST_F(Fetch, WaitsAsLongAsTheServerAsks) {
  std::vector<int64_t> waits_ms;
  options_.download.connections = 1;
  options_.download.http.sleep = [&](int64_t ms) { waits_ms.push_back(ms); };
  int count = 0;
  hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
    if (++count == 2) return ServerReply{.status = 429, .headers = {"Retry-After: 3"}};
    if (count == 4) return ServerReply{.status = 503};
    return {};
  };
  options_.only = {"transformer"};
  expect_complete(fetch());
  EXPECT_THAT(waits_ms, ::testing::ElementsAre(3000, 1));
}

TEST_F(Fetch, CompressedBodiesAreRefused) {
  hub_.on_cdn = [&](const ServerRequest& request) -> std::optional<ServerReply> {
    ServerReply reply = serve(request, kFiles.at("vae/b.safetensors"), hub_.etag);
    reply.headers.push_back("Content-Encoding: gzip");
    return reply;
  };
  options_.only = {"vae"};
  EXPECT_FLUXQ_ERROR(fetch(), network, "\"gzip\" encoding");
  expect_absent("vae/b.safetensors");
}

TEST_F(Fetch, RefusedAccessIsExplained) {
  struct Case {
    int status;
    std::string code, message;
    bool with_token;
    ErrorCode error;
    std::string sentence;
  };
  const std::vector<Case> cases = {
      {401, "GatedRepo", "", false, ErrorCode::network,
       "is gated: accept its licence at " + hub_.url() + "/org/name"},
      {403, "GatedRepo", "", true, ErrorCode::network,
       "the account of your token has no access to it"},
      {401, "RepoNotFound", "", false, ErrorCode::not_found,
       "no such model, or it is private: if it is yours, run: fluxq login"},
      {401, "", "Invalid credentials in Authorization header", true, ErrorCode::network,
       "token is not accepted (\"Invalid credentials"},
      {403, "", "", true, ErrorCode::network, "allow your token to read gated repositories"},
      {404, "RepoNotFound", "", true, ErrorCode::not_found, "not open to your token"},
      {404, "RevisionNotFound", "", true, ErrorCode::not_found, "has no revision \"main\""},
      {418, "", "", true, ErrorCode::network, "expected an answer, got status 418"},
  };
  for (const Case& one : cases) {
    environment_.set("HF_TOKEN", one.with_token ? "hf_secret" : nullptr);
    hub_.on_hub = [&](const ServerRequest&) -> std::optional<ServerReply> {
      return ServerReply{
          .status = one.status,
          .headers = {"X-Error-Code: " + one.code, "X-Error-Message: " + one.message}};
    };
    try {
      fetch();
      ADD_FAILURE() << one.sentence;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), one.error);
      EXPECT_THAT(error.what(), HasSubstr(one.sentence));
      EXPECT_THAT(error.what(), Not(HasSubstr("hf_secret")));
    }
  }
}

TEST_F(Fetch, NoErrorShowsASignatureOrAToken) {
  for (const int status : {500, 403, 302}) {
    hub_.on_cdn = [&](const ServerRequest&) -> std::optional<ServerReply> {
      return ServerReply{.status = status, .headers = {"Location: file:///hf_secret"}};
    };
    try {
      fetch();
      ADD_FAILURE() << "expected an error";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), Not(HasSubstr("s3cret")));
      EXPECT_THAT(error.what(), Not(HasSubstr("hf_secret")));
    }
  }
}

TEST_F(Fetch, AListingOfAnotherFormIsRefused) {
  const std::string sha = "\"sha\":\"" + kTestCommit + "\"";
  const auto one_file = [&](const std::string& path, const std::string& rest) {
    return "{" + sha + ",\"siblings\":[{\"rfilename\":\"" + path + "\"," + rest + "}]}";
  };
  const std::string good = "\"size\":1,\"blobId\":\"" + std::string(40, 'a') + "\"";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"<html>", "line 1"},
      {"", "line 1"},
      {"[]", "expected an object"},
      {"{}", "sha"},
      {"{\"sha\":\"main\",\"siblings\":[]}", "expected a commit"},
      {"{" + sha + "}", "siblings: expected an array"},
      {"{" + sha + ",\"siblings\":[1]}", "expected an object"},
      {one_file("a", "\"size\":1"), "blobId"},
      {one_file("a", "\"blobId\":\"" + std::string(40, 'a') + "\""), "size"},
      {one_file("a", "\"size\":-1,\"blobId\":\"" + std::string(40, 'a') + "\""), "size"},
      {one_file("a", "\"size\":1e3,\"blobId\":\"" + std::string(40, 'a') + "\""), "size"},
      {one_file("a", "\"size\":1,\"blobId\":\"../" + std::string(37, 'a') + "\""),
       "40 hexadecimal"},
      {one_file("a", good + ",\"lfs\":{\"sha256\":\"abc\",\"size\":1}"), "64 hexadecimal"},
      {one_file("a", good + "},{\"rfilename\":\"a\"," + good), "a twice"},
  };
  for (const auto& [body, sentence] : cases) {
    hub_.on_hub = [&](const ServerRequest&) -> std::optional<ServerReply> {
      return ServerReply{.body = body};
    };
    EXPECT_FLUXQ_ERROR(fetch(), network, sentence);
  }
  for (const std::string path :
       {"../a", "/a", "a//b", "a/../b", ".", "a/.", "a\\\\b", "a\\u0000b", "a\\n", ""})
    EXPECT_FLUXQ_ERROR(parse_listing(one_file(path, good), "org/name", "x"), network,
                       "expected a relative path");
  EXPECT_FALSE(fs::exists(model()));
}

}  // namespace
}  // namespace fluxq
