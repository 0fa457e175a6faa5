#include "tests/support/test_data.h"

#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <limits>

namespace talon::test {

namespace fs = std::filesystem;

fs::path TestData(const std::string& relative) {
  return fs::path(TALON_SOURCE_DIR) / "tests/data" / relative;
}

fs::path DemoPath(const std::string& relative) {
  return fs::path(TALON_SOURCE_DIR) / "models/demo" / relative;
}

fs::path SharedPath(const std::string& relative) {
  const char* configured = std::getenv("TALON_SHARED");
  const fs::path root =
      configured != nullptr ? fs::path(configured) : fs::path(TALON_SOURCE_DIR) / "../shared";
  return root / relative;
}

fs::path Pair270m() {
  const char* configured = std::getenv("TALON_PAIR_270M");
  return configured != nullptr ? fs::path(configured) : fs::path();
}

std::string TestDevice() {
  const char* configured = std::getenv("TALON_TEST_DEVICE");
  return configured != nullptr ? configured : "cpu";
}

TempDir::TempDir() {
  std::string name = (fs::temp_directory_path() / "talon-test-XXXXXX").string();
  path_ = ::mkdtemp(name.data());
}

TempDir::~TempDir() {
  std::error_code error;
  fs::remove_all(path_, error);
}

double RelativeError(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(difference) / std::sqrt(norm);
}

}  // namespace talon::test
