#include "hub/cache_layout.h"

#include <sys/stat.h>

#include "base/test_support.h"
#include "hub/testing.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;
using testing::HubEnvironment;

const std::string kCommit = "0123456789abcdef0123456789abcdef01234567";

TEST(HubPaths, FollowTheVariablesOfHuggingFace) {
  HubEnvironment environment("/home/u");
  EXPECT_EQ(hub_paths().cache, "/home/u/.cache/huggingface/hub");
  EXPECT_EQ(hub_paths().token, "/home/u/.cache/huggingface/token");
  environment.set("XDG_CACHE_HOME", "/x");
  EXPECT_EQ(hub_paths().home, "/x/huggingface");
  environment.set("HF_HOME", "~/hf");
  EXPECT_EQ(hub_paths().home, "/home/u/hf");
  EXPECT_EQ(hub_paths().cache, "/home/u/hf/hub");
  environment.set("HUGGINGFACE_HUB_CACHE", "/old");
  EXPECT_EQ(hub_paths().cache, "/old");
  environment.set("HF_HUB_CACHE", "/data/$HF_TEST_NAME/${HF_TEST_NAME}x$HF_TEST_NONE");
  environment.set("HF_TEST_NAME", "n");
  environment.set("HF_TEST_NONE", nullptr);
  EXPECT_EQ(hub_paths().cache, "/data/n/nx$HF_TEST_NONE");
  environment.set("HF_TOKEN_PATH", "~/t");
  EXPECT_EQ(hub_paths().token, "/home/u/t");
}

TEST(HubPaths, AnEmptyVariableIsNotSet) {
  HubEnvironment environment("/home/u");
  for (const char* name : {"XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_TOKEN_PATH"})
    environment.set(name, "");
  EXPECT_EQ(hub_paths().cache, "/home/u/.cache/huggingface/hub");
  EXPECT_EQ(hub_paths().token, "/home/u/.cache/huggingface/token");
}

TEST(HubToken, ComesFromTheEnvironmentThenTheFile) {
  const TempFolder home;
  HubEnvironment environment(home.path().string());
  const HubPaths paths = hub_paths();
  EXPECT_EQ(hub_token(paths), std::nullopt);
  store_hub_token(paths, " hf_stored\n");
  EXPECT_EQ(hub_token(paths), "hf_stored");
  struct stat status = {};
  ASSERT_EQ(::stat(paths.token.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  environment.set("HUGGING_FACE_HUB_TOKEN", "hf_old");
  EXPECT_EQ(hub_token(paths), "hf_old");
  environment.set("HF_TOKEN", "\thf_new\r\n");
  EXPECT_EQ(hub_token(paths), "hf_new");
}

TEST(HubToken, IsNotShownWhenItIsRefused) {
  const TempFolder home;
  HubEnvironment environment(home.path().string());
  environment.set("HF_TOKEN", "hf_a\r\nX-Evil: 1");
  try {
    hub_token(hub_paths());
    ADD_FAILURE() << "expected an error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_argument);
    EXPECT_EQ(std::string(error.what()).find("hf_a"), std::string::npos) << error.what();
  }
  EXPECT_FLUXQ_ERROR(store_hub_token(hub_paths(), "\n"), bad_argument, "got nothing");
  EXPECT_FALSE(fs::exists(hub_paths().token));
}

TEST(HubOffline, IsAskedForByEitherVariable) {
  HubEnvironment environment("/home/u");
  EXPECT_FALSE(hub_is_offline());
  environment.set("TRANSFORMERS_OFFLINE", "Yes");
  EXPECT_TRUE(hub_is_offline());
  environment.set("HF_HUB_OFFLINE", "0");
  EXPECT_FALSE(hub_is_offline());
  environment.set("HF_HUB_OFFLINE", "ON");
  EXPECT_TRUE(hub_is_offline());
}

TEST(HubName, IsAnOrganisationAndAName) {
  EXPECT_EQ(parse_hub_name("black-forest-labs/FLUX.1-schnell"),
            (HubName{"black-forest-labs/FLUX.1-schnell", "main"}));
  EXPECT_EQ(parse_hub_name("a/b@refs/pr/1"), (HubName{"a/b", "refs/pr/1"}));
  const std::string longest(96, 'a');
  EXPECT_TRUE(parse_hub_name(longest + "/" + longest));
  for (const std::string& text : std::vector<std::string>{
           "",     "a",        "a/",     "/a",         "a/b/c",   "../b",         "a/..",
           "a/.b", "a/b.",     "-a/b",   "a/b--c",     "a/b..c",  "a/b.git",      "a b/c",
           "a/b@", "a/b@../c", "a/b@/x", "a/\xc3\xa9", "a/b@x\n", longest + "a/b"})
    EXPECT_FALSE(parse_hub_name(text)) << text;
}

class Snapshot : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "refs/refs/pr");
    fs::create_directories(folder_ / "snapshots" / kCommit);
    write_test_file(folder_ / "refs/main", kCommit);
    write_test_file(folder_ / "refs/refs/pr/1", kCommit + "\n");
    write_test_file(folder_ / "refs/gone", std::string(40, 'f'));
  }

  TempFolder cache_;
  fs::path folder_ = cache_ / "models--org--name.x";
};

TEST_F(Snapshot, IsFoundByBranchAndCommit) {
  const fs::path expected = folder_ / "snapshots" / kCommit;
  EXPECT_EQ(find_snapshot(cache_.path(), {"org/name.x"}), expected);
  EXPECT_EQ(find_snapshot(cache_.path(), {"org/name.x", "refs/pr/1"}), expected);
  EXPECT_EQ(find_snapshot(cache_.path(), {"org/name.x", kCommit}), expected);
  EXPECT_EQ(find_snapshot(cache_.path(), {"org/name.x", "gone"}), std::nullopt);
  EXPECT_EQ(find_snapshot(cache_.path(), {"org/name.x", "refs"}), std::nullopt);
  EXPECT_EQ(find_snapshot(cache_.path(), {"org/other"}), std::nullopt);
  EXPECT_EQ(model_name_of(expected), "org/name.x");
  EXPECT_EQ(model_name_of(folder_), "models--org--name.x");
}

TEST_F(Snapshot, AReferenceMustHoldACommit) {
  for (const std::string& text : {std::string("../../../etc"), std::string(), std::string(39, 'a'),
                                  std::string(300, 'a'), std::string(40, 'A')}) {
    write_test_file(folder_ / "refs/main", text);
    EXPECT_FLUXQ_ERROR(find_snapshot(cache_.path(), {"org/name.x"}), corrupt_file, "refs/main");
  }
  EXPECT_FLUXQ_ERROR(find_snapshot(cache_.path(), {"org/name.x", "../main"}), bad_argument,
                     "the revision \"../main\"");
}

}  // namespace
}  // namespace fluxq
