// fluxq cache: list, verify and clean, as a user runs them.
#include <gmock/gmock.h>

#include "base/json.h"
#include "base/test_support.h"
#include "hub/testing_hub.h"
#include "program.h"

namespace fluxq::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class CacheCommand : public ::testing::Test {
 protected:
  CacheCommand() {
    fs::create_directories(model_ / "blobs");
    fs::create_directories(model_ / "snapshots" / kTestCommit);
    fs::create_directories(model_ / "refs");
    write_test_file(model_ / "refs/main", kTestCommit);
    const std::string index = R"({"_class_name":"FluxPipeline"})";
    write_test_file(model_ / "blobs" / git_hash(index), index);
    fs::create_symlink("../../blobs/" + git_hash(index),
                       model_ / "snapshots" / kTestCommit / "model_index.json");
  }

  Outcome run(const std::vector<std::string>& arguments) {
    return run_fluxq(arguments, {.environment = {"HOME=" + home_.path().string(),
                                                 "XDG_CACHE_HOME=", "HF_HOME=", "HF_HUB_CACHE="},
                                 .input = ""});
  }

  TemporaryFolder home_;
  fs::path model_ = home_.path() / ".cache/huggingface/hub/models--org--flux";
};

TEST_F(CacheCommand, ListNamesModels) {
  Outcome outcome = run({"cache", "list"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("org/flux  main " + kTestCommit.substr(0, 12)));
  const Json json = parse_json(run({"cache", "list", "--json"}).out, "output");
  EXPECT_EQ(json["items"][0]["name"], "org/flux");
  EXPECT_EQ(json["items"][0]["kind"], "hub");
}

TEST_F(CacheCommand, VerifyFindsAndRemovesWhatIsWrong) {
  EXPECT_EQ(run({"cache", "verify"}).status, 0);
  const fs::path blob = fs::directory_iterator(model_ / "blobs")->path();
  std::string content = read_bytes(blob);
  content.back() = ' ';
  write_test_file(blob, content);
  Outcome outcome = run({"cache", "verify", "org/flux"});
  EXPECT_EQ(outcome.status, 4);
  EXPECT_THAT(outcome.out, HasSubstr("expected git SHA-1"));
  EXPECT_TRUE(fs::exists(blob));
  outcome = run({"cache", "verify", "--remove", "--json"});
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(parse_json(outcome.out, "output")["models"][0]["faults"][0]["removed"], true);
  EXPECT_FALSE(fs::exists(blob));
  EXPECT_EQ(run({"cache", "verify", "org/fluz"}).status, 3);
}

TEST_F(CacheCommand, CleanRemovesOnlyWhenAllowed) {
  EXPECT_EQ(run({"cache", "clean"}).status, 2);
  EXPECT_EQ(run({"cache", "clean", "org/flux"}).status, 2);
  EXPECT_EQ(run({"cache", "clean", "--hub", "--older-than", "soon"}).status, 2);
  Outcome outcome = run({"cache", "clean", "--hub"});
  EXPECT_EQ(outcome.status, 2);
  EXPECT_THAT(outcome.err, HasSubstr("--yes"));
  EXPECT_THAT(run({"cache", "clean", "--hub", "--dry-run"}).out, HasSubstr("would remove"));
  EXPECT_THAT(run({"cache", "clean", "--hub", "--yes", "--older-than", "1d"}).out,
              HasSubstr("nothing to remove"));
  EXPECT_THAT(run({"cache", "clean", "--hub", "--yes", "org/other"}).err, HasSubstr("is not in"));
  EXPECT_TRUE(fs::exists(model_));
  outcome = run({"cache", "clean", "--hub", "--yes"});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("came back"));
  EXPECT_FALSE(fs::exists(model_));
}

TEST_F(CacheCommand, OtherModelsGoOnlyByName) {
  const fs::path other = model_.parent_path() / "models--org--llm";
  fs::rename(model_, other);
  const fs::path blob = fs::directory_iterator(other / "blobs")->path();
  write_test_file(blob, R"({"_class_name":"OtherPipeline"})");
  EXPECT_THAT(run({"cache", "clean", "--hub", "--yes"}).out, HasSubstr("nothing to remove"));
  EXPECT_TRUE(fs::exists(other));
  EXPECT_EQ(run({"cache", "clean", "--hub", "--yes", "org/llm"}).status, 0);
  EXPECT_FALSE(fs::exists(other));
}

}  // namespace
}  // namespace fluxq::testing
