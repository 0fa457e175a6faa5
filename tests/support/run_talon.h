// Runs the built `talon` program as a user would.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "tests/support/test_data.h"

namespace talon::test {

struct ProgramResult {
  int exit_code = -1;  // 128 + signal when it was killed by one
  std::string out;
  std::string err;
};

// A running `talon ARGS...`, its output collected in files.
class TalonProcess {
 public:
  explicit TalonProcess(const std::vector<std::string>& arguments);
  ~TalonProcess();
  TalonProcess(const TalonProcess&) = delete;
  TalonProcess& operator=(const TalonProcess&) = delete;

  void Signal(int signal) const;
  bool Running();
  // Waits for the end.
  ProgramResult Wait();

 private:
  TempDir folder_;
  pid_t pid_ = -1;
  int status_ = 0;
};

ProgramResult RunTalon(const std::vector<std::string>& arguments);

}  // namespace talon::test
