// `talon demo`: the main job on the bundled pair of small models, as a user would type it: quantize
// the drafter with realistic calibration, check it, measure what it cost, answer one prompt with
// drafts.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "apps/talon/command_line.h"
#include "apps/talon/commands.h"
#include "talon/base/error.h"
#include "talon/base/progress.h"

namespace talon {
namespace {

namespace fs = std::filesystem;

struct DemoFlags {
  std::string models = "models/demo";
  std::string output;
};

// A folder of its own under the system's temporary folder, removed with the object.
class ScratchFolder {
 public:
  ScratchFolder() : path_((fs::temp_directory_path() / "talon-demo-XXXXXX").string()) {
    if (::mkdtemp(path_.data()) == nullptr) {
      Throw(ErrorCode::kFailedPrecondition, "{}: cannot be created", path_);
    }
  }
  ~ScratchFolder() {
    std::error_code error;
    fs::remove_all(path_, error);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  fs::path path() const { return path_; }

 private:
  std::string path_;
};

// Runs one command line as if it had been typed, printing it first.
void RunStep(const std::string& title, const std::vector<std::string>& arguments) {
  const bool colour = IsTerminal(STDOUT_FILENO);
  std::string line = "talon";
  for (const std::string& argument : arguments) {
    line += argument.find(' ') == std::string::npos ? " " + argument : " \"" + argument + "\"";
  }
  fmt::print("\n{}== {}{}\n$ {}\n", colour ? "\033[1m" : "", title, colour ? "\033[0m" : "", line);
  std::fflush(stdout);
  std::vector<std::string> command_line = {"talon"};
  command_line.insert(command_line.end(), arguments.begin(), arguments.end());
  RememberCommandLine(std::move(command_line));
  CLI::App app("", "talon");
  RunCommand run;
  AddCommands(app, run);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  app.parse(reversed);
  const int exit_code = run();
  if (exit_code != 0) {
    Throw(ErrorCode::kInternal, "demo: `{}` ended with exit code {}", line, exit_code);
  }
}

int Demo(const DemoFlags& flags) {
  const auto start = std::chrono::steady_clock::now();
  const fs::path models = flags.models;
  const std::string verifier = (models / "verifier").string();
  const std::string drafter = (models / "drafter").string();
  if (!fs::exists(models / "verifier" / "config.json")) {
    Throw(ErrorCode::kNotFound, "{}: not there; run the demo from Talon's folder or give --models",
          verifier);
  }
  const ScratchFolder scratch;
  const std::string output =
      flags.output.empty() ? (scratch.path() / "drafter-NVFP4").string() : flags.output;
  RunStep("Quantize the drafter to NVFP4, calibrated on conversations",
          {"quantize", drafter, "--verifier", verifier, "--calibration",
           (models / "calibration.jsonl").string(), "--seq-length", "512", "--output", output});
  RunStep("Check what was written", {"check", output, "--verifier", verifier});
  RunStep("Measure what it cost: acceptance of BF16 against NVFP4",
          {"eval", "--verifier", verifier, "--drafter", drafter, "--drafter", output, "--data",
           (models / "prompts").string(), "--max-tokens", "48"});
  RunStep("Answer with drafts; accepted draft tokens are marked",
          {"generate", verifier, "Tell me a story about a dog and a boat.", "--drafter", output,
           "--temperature", "0", "--max-tokens", "96", "--mark-drafts"});
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print("\ndemo: finished in {:.1f} s\n", seconds);
  return 0;
}

}  // namespace

void AddDemo(CLI::App& app, RunCommand& run) {
  auto flags = std::make_shared<DemoFlags>();
  CLI::App* command =
      app.add_subcommand("demo", "Quantize, check, measure and talk to the bundled small models");
  command->add_option("--models", flags->models, "folder with verifier, drafter, prompts")
      ->capture_default_str();
  command->add_option("--output", flags->output,
                      "keep the quantized drafter in this folder; default: a temporary one");
  command->callback([flags, &run] { run = [flags] { return Demo(*flags); }; });
}

}  // namespace talon
