// The requests of `talon verify-lossless`: prompts of the user's or its own, asked greedily and
// seeded, plainly and with every setting that looks at a request's own text.
#pragma once

#include <string>
#include <vector>

#include "apps/talon/session.h"
#include "talon/engine/request.h"

namespace talon {

struct LosslessRequestOptions {
  std::vector<std::string> data;  // JSONL files or folders; none: built-in questions
  int64_t count = 16;
  int64_t max_tokens = 256;
  int64_t max_model_len = 0;
};

// Throws kInvalidArgument when no prompt leaves room for an answer.
std::vector<GenerationRequest> MakeLosslessRequests(const Session& session,
                                                    const LosslessRequestOptions& options);

}  // namespace talon
