// fluxq fetch, login and logout, against a Hub on this machine.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "hub/testing_hub.h"
#include "program.h"

namespace fluxq::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kWeights(300'000, 'w');

class HubCommand : public ::testing::Test {
 protected:
  Outcome run(const std::vector<std::string>& arguments, RunOptions options = {}) {
    options.environment = {"HOME=" + home_.path().string(),
                           "XDG_CACHE_HOME=",
                           "HF_HOME=",
                           "HF_HUB_CACHE=",
                           "HF_TOKEN=hf_secret",
                           "HF_ENDPOINT=" + hub_.url(),
                           "HF_HUB_OFFLINE=",
                           "http_proxy="};
    if (!with_token_) options.environment.push_back("HF_TOKEN=");
    Outcome outcome = run_fluxq(arguments, options);
    EXPECT_THAT(outcome.out + outcome.err, Not(HasSubstr("hf_secret")));
    return outcome;
  }

  TemporaryFolder home_;
  TestingHub hub_{
      {{"model_index.json", "{}"}, {"vae/config.json", "[]"}, {"vae/w.safetensors", kWeights}}};
  fs::path model_ = home_.path() / ".cache/huggingface/hub/models--org--name";
  fs::path snapshot_ = model_ / "snapshots" / kTestCommit;
  bool with_token_ = true;
};

TEST_F(HubCommand, FetchPrintsTheFolderOfTheModel) {
  Outcome outcome = run({"fetch", "org/name"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, snapshot_.string() + "\n");
  EXPECT_THAT(outcome.err, HasSubstr("3 files to fetch, 300.0 kB"));
  EXPECT_EQ(read_bytes(snapshot_ / "vae/w.safetensors"), kWeights);
  outcome = run({"fetch", "--only", "vae,model_index.json", "org/name@main", "--json", "--quiet"});
  const Json json = parse_json(outcome.out, "output");
  EXPECT_EQ(json["commit"], kTestCommit);
  EXPECT_EQ(json["network_bytes"], 0);
  EXPECT_EQ(json["files"].size(), 3u);
  EXPECT_EQ(outcome.err, "");
  outcome = run({"inspect", "org/name"});
  EXPECT_THAT(outcome.err, HasSubstr(snapshot_.string())) << "found in the cache";
}

TEST_F(HubCommand, FetchGoesOnAfterBeingKilled) {
  hub_.on_cdn = [](const ServerRequest& request) -> std::optional<ServerReply> {
    ServerReply reply = serve(request, kWeights, "\"v1\"");
    reply.pause = std::chrono::milliseconds(5);  // 1.5 s in all
    return reply;
  };
  for (const int signal : {9, 2, 15}) {
    const Outcome outcome =
        run({"fetch", "org/name"},
            {.interrupt_after = std::chrono::milliseconds(300), .signal = signal});
    EXPECT_EQ(outcome.status, signal == 9 ? 1009 : 128 + signal) << outcome.err;
    EXPECT_FALSE(fs::exists(fs::symlink_status(snapshot_ / "vae/w.safetensors")));
  }
  hub_.on_cdn = {};
  EXPECT_EQ(run({"fetch", "org/name"}).status, 0);
  EXPECT_EQ(read_bytes(snapshot_ / "vae/w.safetensors"), kWeights);
  EXPECT_EQ(list_folder(model_ / "blobs").size(), 3u) << "nothing unfinished is left";
}

TEST_F(HubCommand, AGatedModelIsExplained) {
  hub_.on_hub = [](const ServerRequest& request) -> std::optional<ServerReply> {
    if (request.target.find("/resolve/") == std::string::npos) return {};
    return ServerReply{.status = 401, .headers = {"X-Error-Code: GatedRepo"}};
  };
  with_token_ = false;
  const Outcome outcome = run({"fetch", "org/name"});
  EXPECT_EQ(outcome.status, 13);
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("accept its licence at " + hub_.url() + "/org/name"));
  EXPECT_THAT(outcome.err, HasSubstr("fluxq login"));
}

TEST_F(HubCommand, BadArgumentsGetASentence) {
  for (const std::string name : {"name", "org/name/x", "../name", "org/name@../x"}) {
    const Outcome outcome = run({"fetch", name});
    EXPECT_EQ(outcome.status, 2);
    EXPECT_THAT(outcome.err, HasSubstr("expected org/name or org/name@revision"));
  }
  EXPECT_EQ(run({"fetch", "org/name", "--connections", "0"}).status, 2);
  EXPECT_EQ(run({"fetch", "org/none"}).status, 3);
  EXPECT_EQ(run({"fetch", "org/name", "--only", "vea"}).status, 2);
}

TEST_F(HubCommand, AFullDiskIsADiskFullErrorAndPublishesNothing) {
  const Outcome outcome = run({"fetch", "org/name"}, {.file_size_limit_bytes = 100'000});
  EXPECT_EQ(outcome.status, 11) << outcome.err;
  EXPECT_FALSE(fs::exists(fs::symlink_status(snapshot_ / "vae/w.safetensors")));
}

TEST_F(HubCommand, LoginKeepsTheTokenAndLogoutRemovesIt) {
  with_token_ = false;
  hub_.on_hub = [](const ServerRequest& request) -> std::optional<ServerReply> {
    if (request.target != "/api/whoami-v2") return {};
    if (request.header("authorization") != "Bearer hf_secret") return ServerReply{.status = 401};
    return ServerReply{.body = R"({"name":"somebody"})"};
  };
  const fs::path file = home_.path() / ".cache/huggingface/token";
  EXPECT_EQ(run({"login"}, {.input = "wrong\n"}).status, 13);
  EXPECT_EQ(run({"login"}, {.input = ""}).status, 2);
  EXPECT_FALSE(fs::exists(file));
  const Outcome outcome = run({"login"}, {.input = "hf_secret\n"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.err, HasSubstr("token of somebody"));
  EXPECT_EQ(read_bytes(file), "hf_secret");
  struct stat status = {};
  ASSERT_EQ(::stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  EXPECT_EQ(run({"fetch", "org/name"}).status, 0);
  EXPECT_EQ(hub_.requests().back().header("authorization"), "Bearer hf_secret");
  EXPECT_EQ(run({"logout"}).status, 0);
  EXPECT_FALSE(fs::exists(file));
  EXPECT_THAT(run({"logout"}).err, HasSubstr("there was no stored token"));
  EXPECT_EQ(run({"login", "--no-check"}, {.input = "hf_other"}).status, 0);
  EXPECT_EQ(read_bytes(file), "hf_other");
}

}  // namespace
}  // namespace fluxq::testing
