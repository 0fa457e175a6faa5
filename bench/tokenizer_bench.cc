// Load time and encoding and decoding speed of the tokenizer on WikiText-2 with the real Gemma 3
// vocabulary; where the shared folder ($TALON_SHARED, default ../shared) is absent, with the small
// tokenizer on its own file. Run from the repository.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "talon/base/json.h"
#include "talon/text/tokenizer.h"

namespace talon {
namespace {

struct Inputs {
  std::filesystem::path tokenizer;
  std::filesystem::path text;
};

Inputs FindInputs() {
  const char* variable = std::getenv("TALON_SHARED");
  const std::filesystem::path shared = variable == nullptr ? "../shared" : variable;
  Inputs real = {shared / "models/gemma3-tokenizer/tokenizer.json",
                 shared / "data/perplexity/wikitext2_test.txt"};
  if (std::filesystem::exists(real.tokenizer) && std::filesystem::exists(real.text)) return real;
  const std::filesystem::path small = "tests/data/tiny-gemma4/verifier/tokenizer.json";
  return {small, small};
}

const Tokenizer& SharedTokenizer() {
  static const auto tokenizer = Tokenizer::Load(FindInputs().tokenizer);
  return *tokenizer;
}

void Load(benchmark::State& state) {
  const auto path = FindInputs().tokenizer;
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::Load(path));
  state.SetLabel(path.string());
}
BENCHMARK(Load)->Unit(benchmark::kMillisecond);

void Encode(benchmark::State& state) {
  const std::string text = ReadTextFile(FindInputs().text);
  size_t tokens = 0;
  const Tokenizer& tokenizer = SharedTokenizer();
  for (auto _ : state) tokens = tokenizer.Encode(text).size();
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
  state.counters["tokens"] = static_cast<double>(tokens);
}
BENCHMARK(Encode)->Unit(benchmark::kMillisecond);

// The whole text as one span: no line break, so no added token cuts it.
void EncodeOneSpan(benchmark::State& state) {
  std::string text = ReadTextFile(FindInputs().text);
  for (char& c : text) c = c == '\n' ? ' ' : c;
  const Tokenizer& tokenizer = SharedTokenizer();
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.Encode(text));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(EncodeOneSpan)->Unit(benchmark::kMillisecond);

void Decode(benchmark::State& state) {
  const std::string text = ReadTextFile(FindInputs().text);
  const auto ids = SharedTokenizer().Encode(text);
  const Tokenizer& tokenizer = SharedTokenizer();
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.Decode(ids, true));
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(Decode)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace talon

BENCHMARK_MAIN();
