#include "base/test_support.h"
#include "fluxq/engine.h"
#include "hub/testing.h"

namespace fluxq {
namespace {

namespace fs = std::filesystem;
using testing::HubEnvironment;

TEST(FindModel, KnowsTheHuggingFaceCache) {
  const TempFolder home;
  HubEnvironment environment(home.path().string());
  const std::string commit(40, 'a');
  const fs::path model = home / ".cache/huggingface/hub/models--org--name";
  fs::create_directories(model / "snapshots" / commit);
  fs::create_directories(model / "refs");
  write_test_file(model / "refs/main", commit);
  EXPECT_EQ(find_model("org/name"), model / "snapshots" / commit);
  EXPECT_EQ(find_model("org/name@" + commit), model / "snapshots" / commit);
  EXPECT_FLUXQ_ERROR(find_model("org/name@v2"), not_found, "fluxq fetch org/name --revision v2");
  EXPECT_FLUXQ_ERROR(find_model("org/other"), not_found, "models--org--other");
}

TEST(FindModel, AFolderComesFirstAndNamesAreLookedUpInTheRoots) {
  const TempFolder folder;
  testing::Environment environment;
  environment.set("FLUXQ_MODELS", (folder / "none").string() + ":" + folder.path().string());
  fs::create_directories(folder / "mine");
  EXPECT_EQ(find_model("mine"), folder / "mine");
  EXPECT_EQ(find_model((folder / "mine").string()), folder / "mine");
  EXPECT_FLUXQ_ERROR(find_model("yours"), not_found, (folder / "yours").string());
  EXPECT_FLUXQ_ERROR(find_model(""), bad_argument, "got nothing");
  EXPECT_FLUXQ_ERROR(find_model("../mine/.."), not_found, "looked for: ../mine/..");
}

TEST(FindModel, KnowsSyntheticModels) {
  testing::Environment environment;
  environment.set("FLUXQ_MODELS", FLUXQ_SOURCE_DIR "/models");
  const fs::path models = fs::path(FLUXQ_SOURCE_DIR) / "models/synthetic";
  EXPECT_EQ(find_model("synthetic:flux-tiny"), models / "flux-tiny");
  EXPECT_FLUXQ_ERROR(find_model("synthetic:flux-huge"), not_found, "synthetic/flux-huge");
  EXPECT_FLUXQ_ERROR(find_model("synthetic:"), not_found, "synthetic:");
  EXPECT_FLUXQ_ERROR(find_model("synthetic:../emoji-flux"), not_found, "looked for");
}

}  // namespace
}  // namespace fluxq
