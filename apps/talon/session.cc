#include "apps/talon/session.h"

#include <fmt/format.h>

#include "talon/base/error.h"
#include "talon/checkpoint/hub.h"

namespace talon {

void AddSessionFlags(CLI::App& command, SessionFlags& flags, const std::string& numerics_flag) {
  command.add_option("--device", flags.device, "auto, cpu or cuda")->capture_default_str();
  command.add_option("--threads", flags.threads, "CPU threads; 0: one per core")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  command.add_option("--dtype", flags.dtype, "bfloat16 or float32 (activations)")
      ->capture_default_str();
  command
      .add_option(numerics_flag, flags.numerics,
                  "NVFP4 linears: auto, w4a16 (weights only) or w4a4 (inputs quantized too, as "
                  "Blackwell does; emulated elsewhere)")
      ->capture_default_str();
  command.add_option("--chat-format", flags.chat_format,
                     "gemma3, gemma4 or gemma4-empty-thought; default: from the chat template");
}

LinearNumerics ParseNumerics(const std::string& name) {
  if (name == "auto" || name == "w4a16") return LinearNumerics::kWeightOnly;
  if (name == "w4a4") return LinearNumerics::kW4A4;
  Throw(ErrorCode::kInvalidArgument, "--numerics {}: expected auto, w4a16 or w4a4", name);
}

DType ParseDType(const std::string& name) {
  if (name == "auto" || name == "bfloat16" || name == "bf16") return DType::kBF16;
  if (name == "float32" || name == "fp32" || name == "float") return DType::kF32;
  Throw(ErrorCode::kInvalidArgument, "--dtype {}: expected bfloat16 or float32", name);
}

Session OpenSession(const SessionFlags& flags) {
  Session session;
  session.options = {ParseDType(flags.dtype), ParseNumerics(flags.numerics)};
  const std::filesystem::path directory = ResolveModel(flags.verifier);
  session.backend = MakeBackend({flags.device, flags.threads});
  for (const std::string& line : session.backend->SelfTest()) fmt::print(stderr, "{}\n", line);
  session.verifier = LoadVerifier(*session.backend, directory, session.options);
  session.tokenizer = Tokenizer::Load(directory / "tokenizer.json");
  session.chat_format =
      flags.chat_format.empty() ? DetectChatFormat(directory) : ParseChatFormat(flags.chat_format);
  session.generation_config = ReadGenerationConfig(directory);
  return session;
}

LoadedDrafter Session::OpenDrafter(const std::string& name_or_path) const {
  return OpenDrafter(name_or_path, options.numerics);
}

LoadedDrafter Session::OpenDrafter(const std::string& name_or_path, LinearNumerics numerics) const {
  return LoadDrafter(ResolveModel(name_or_path), {options.dtype, numerics}, *verifier.model);
}

std::vector<int32_t> Session::StopTokenIds() const {
  return generation_config.eos_token_ids.empty() ? verifier.model->config().eos_token_ids
                                                 : generation_config.eos_token_ids;
}

std::vector<int32_t> Session::EncodeChat(const Json& messages) const {
  if (!chat_format) {
    Throw(ErrorCode::kInvalidArgument,
          "{}: has no chat template (a base model?); give --chat-format or raw text",
          verifier.directory.string());
  }
  return EncodePrompt(*tokenizer, RenderChat(*chat_format, messages, ChatOptions()));
}

}  // namespace talon
