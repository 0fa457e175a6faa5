// Opens what the server's flags name: verifier, tokenizer, maybe a drafter; and sizes the KV cache.
#pragma once

#include "apps/talon/serve_flags.h"
#include "apps/talon/server_log.h"

namespace talon {

// Session, drafter and engine options, opened and checked; options.kv_cache_bytes is what the KV
// cache may take. Nothing of it is allocated yet.
struct ServedPair {
  Session session;
  LoadedDrafter drafter;  // without a model: no drafter
  EngineOptions options;
};

// Throws one sentence naming what is missing or wrong; each phase, and the memory as a table, goes
// to `log`.
ServedPair LoadServedPair(const ServeFlags& flags, StartupLog& log);

}  // namespace talon
