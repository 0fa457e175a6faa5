// Where tests find their references: tests/data in the repository, and the larger shared folder
// next to it (or $TALON_SHARED), which may be absent; tests that need it then skip visibly.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

namespace talon::test {

std::filesystem::path TestData(const std::string& relative);
std::filesystem::path SharedPath(const std::string& relative);
// In the bundled pair's folder, models/demo.
std::filesystem::path DemoPath(const std::string& relative);
// The real 270M pair (verifier/, drafter/), or an empty path: $TALON_PAIR_270M.
std::filesystem::path Pair270m();

// The device that model and engine tests run on: $TALON_TEST_DEVICE, or "cpu".
std::string TestDevice();

// A fresh folder, removed with the object.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// || a - b || / || b ||
double RelativeError(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace talon::test

// Skips the test, saying what is missing, when a shared file is absent.
#define TALON_REQUIRE_PATH(path)                                          \
  if (!std::filesystem::exists(path)) {                                   \
    GTEST_SKIP() << "needs " << (path).string() << ", which is not here"; \
  }
