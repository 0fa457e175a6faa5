// Look-ups in a Hugging Face cache laid out in a temporary folder.
#include "talon/checkpoint/hub.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "tests/checkpoint/safetensors_builder.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

namespace fs = std::filesystem;
using test::ExpectError;
using test::WriteBytes;

constexpr char kCommit[] = "0123456789abcdef0123456789abcdef01234567";

// Sets an environment variable (nullptr: unsets it) and restores it afterwards.
class ScopedEnvironment {
 public:
  ScopedEnvironment(const char* name, const char* value) : name_(name) {
    if (const char* previous = std::getenv(name)) previous_ = previous;
    Set(value);
  }
  ~ScopedEnvironment() { Set(previous_ ? previous_->c_str() : nullptr); }
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  void Set(const char* value) {
    value == nullptr ? ::unsetenv(name_) : ::setenv(name_, value, /*overwrite=*/1);
  }
  const char* name_;
  std::optional<std::string> previous_;
};

class ResolveModelTest : public testing::Test {
 protected:
  // Adds org/model with refs main and v1.0 to the cache `hub`.
  static fs::path AddModel(const fs::path& hub) {
    const fs::path repository = hub / "models--org--model-1.5";
    const fs::path snapshot = repository / "snapshots" / kCommit;
    fs::create_directories(snapshot);
    fs::create_directories(repository / "refs/team");
    WriteBytes(snapshot / "config.json", "{}");
    WriteBytes(repository / "refs/main", kCommit);
    WriteBytes(repository / "refs/team/branch", std::string(kCommit) + "\n");
    WriteBytes(repository / "refs/broken", "../../..");
    WriteBytes(repository / "refs/gone", "abcdef");
    return snapshot;
  }
  const fs::path& path() const { return folder_.path(); }

 private:
  test::TempDir folder_;
  ScopedEnvironment cache_{"HF_HUB_CACHE", nullptr};
  ScopedEnvironment old_cache_{"HUGGINGFACE_HUB_CACHE", nullptr};
  ScopedEnvironment hf_home_{"HF_HOME", nullptr};
  ScopedEnvironment xdg_{"XDG_CACHE_HOME", nullptr};
  ScopedEnvironment home_{"HOME", folder_.path().c_str()};
};

TEST_F(ResolveModelTest, AFolderIsTakenAsItIs) {
  EXPECT_EQ(ResolveModel(path().string()), path());
  WriteBytes(path() / "file", "x");
  ExpectError(ErrorCode::kInvalidArgument, "is a file",
              [&] { ResolveModel((path() / "file").string()); });
}

TEST_F(ResolveModelTest, BranchesTagsAndCommits) {
  const fs::path snapshot = AddModel(path() / "hub");
  const ScopedEnvironment cache("HF_HUB_CACHE", (path() / "hub").c_str());
  EXPECT_EQ(ResolveModel("org/model-1.5"), snapshot);
  EXPECT_EQ(ResolveModel("org/model-1.5@main"), snapshot);
  EXPECT_EQ(ResolveModel("org/model-1.5@team/branch"), snapshot);
  EXPECT_EQ(ResolveModel(std::string("org/model-1.5@") + kCommit), snapshot);
}

TEST_F(ResolveModelTest, EveryPlaceOfTheCache) {
  const fs::path by_default = AddModel(path() / ".cache/huggingface/hub");
  const fs::path xdg_snapshot = AddModel(path() / "xdg/huggingface/hub");
  const fs::path home_snapshot = AddModel(path() / "hf/hub");
  const fs::path cache_snapshot = AddModel(path() / "cache");
  EXPECT_EQ(ResolveModel("org/model-1.5"), by_default);
  const ScopedEnvironment xdg("XDG_CACHE_HOME", (path() / "xdg").c_str());
  EXPECT_EQ(ResolveModel("org/model-1.5"), xdg_snapshot);
  const ScopedEnvironment home("HF_HOME", "~/hf");
  EXPECT_EQ(ResolveModel("org/model-1.5"), home_snapshot);
  const ScopedEnvironment cache("HF_HUB_CACHE", (path() / "cache").c_str());
  EXPECT_EQ(ResolveModel("org/model-1.5"), cache_snapshot);
}

TEST_F(ResolveModelTest, AMissingModelComesWithTheCommand) {
  AddModel(path() / ".cache/huggingface/hub");
  ExpectError(ErrorCode::kNotFound, "run: hf download google/gemma-4-31B-it",
              [] { ResolveModel("google/gemma-4-31B-it"); });
  ExpectError(ErrorCode::kNotFound, "run: hf download org/model-1.5 --revision v2",
              [] { ResolveModel("org/model-1.5@v2"); });
  ExpectError(ErrorCode::kNotFound, "run: hf download org/model-1.5 --revision gone",
              [] { ResolveModel("org/model-1.5@gone"); });
}

TEST_F(ResolveModelTest, RefusesNamesThatAreNone) {
  AddModel(path() / ".cache/huggingface/hub");
  for (const char* name : {"", "model", "/nowhere/at/all", "org/a/b", "org/..", "../org", "org/m@",
                           "org/m@../x", "org/m@/etc", "org/a b"}) {
    SCOPED_TRACE(name);
    ExpectError(ErrorCode::kNotFound, "neither an existing model folder nor a model name",
                [&] { ResolveModel(name); });
  }
  ExpectError(ErrorCode::kDataLoss, "does not hold a commit hash",
              [] { ResolveModel("org/model-1.5@broken"); });
}

}  // namespace
}  // namespace talon
