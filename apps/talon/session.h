// What most commands open first: a backend, a verifier, maybe drafters, the tokenizer and the chat
// format; and the flags that choose them, named as in vLLM where it has them.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "talon/model/load.h"
#include "talon/text/chat.h"
#include "talon/text/tokenizer.h"

namespace talon {

struct SessionFlags {
  std::string verifier;
  std::string device = "auto";
  int threads = 0;
  std::string dtype = "bfloat16";
  std::string numerics = "auto";
  std::string chat_format;
};

// --device, --threads, --dtype, --chat-format, and --numerics under the name `numerics_flag`.
void AddSessionFlags(CLI::App& command, SessionFlags& flags,
                     const std::string& numerics_flag = "--numerics");

struct Session {
  std::unique_ptr<Backend> backend;
  ModelOptions options;
  LoadedVerifier verifier;
  std::unique_ptr<Tokenizer> tokenizer;
  std::optional<ChatFormat> chat_format;  // none: a base model without a template
  GenerationConfig generation_config;

  LoadedDrafter OpenDrafter(const std::string& name_or_path) const;
  // As OpenDrafter, with other numerics for the drafter.
  LoadedDrafter OpenDrafter(const std::string& name_or_path, LinearNumerics numerics) const;
  // Ids that end an answer: generation_config.json's, else config.json's.
  std::vector<int32_t> StopTokenIds() const;
  // Renders one user turn (or messages) and encodes it. Throws when there is no chat format.
  std::vector<int32_t> EncodeChat(const Json& messages) const;
};

// Opens everything; throws one sentence naming what is missing or wrong.
Session OpenSession(const SessionFlags& flags);

// "auto", "w4a16" or "w4a4"; auto is weight-only except on Blackwell. Throws kInvalidArgument.
LinearNumerics ParseNumerics(const std::string& name);
// "bfloat16" / "bf16" / "auto" or "float32" / "fp32".
DType ParseDType(const std::string& name);

}  // namespace talon
