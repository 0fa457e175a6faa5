#include "tests/support/run_talon.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>

namespace talon::test {
namespace {

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void RedirectTo(const std::filesystem::path& path, int descriptor) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  ::dup2(fd, descriptor);
  ::close(fd);
}

}  // namespace

TalonProcess::TalonProcess(const std::vector<std::string>& arguments) {
  const std::string binary = TALON_BINARY;
  std::vector<char*> argv = {const_cast<char*>(binary.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ != 0) return;
  RedirectTo("/dev/null", STDIN_FILENO);
  RedirectTo(folder_.path() / "out", STDOUT_FILENO);
  RedirectTo(folder_.path() / "err", STDERR_FILENO);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

TalonProcess::~TalonProcess() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void TalonProcess::Signal(int signal) const {
  if (pid_ > 0) ::kill(pid_, signal);
}

bool TalonProcess::Running() {
  if (pid_ > 0 && ::waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
  return pid_ > 0;
}

ProgramResult TalonProcess::Wait() {
  if (pid_ > 0) ::waitpid(pid_, &status_, 0);
  pid_ = -1;
  const int exit_code = WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  return {exit_code, ReadAll(folder_.path() / "out"), ReadAll(folder_.path() / "err")};
}

ProgramResult RunTalon(const std::vector<std::string>& arguments) {
  return TalonProcess(arguments).Wait();
}

}  // namespace talon::test
