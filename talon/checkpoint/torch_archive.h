// Writes what torch.save writes: a zip of stored entries around a protocol 2 pickle. Values are
// streamed in the order they are to be read; no tensors. Accepted by torch.load with weights_only.
// Talon never reads pickles. Source: specs/nvfp4.md 3.6 and 0.1.11.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace talon {

// A pickle written value by value. Inside a dict keys and values alternate; every Begin has its
// End.
class PickleWriter {
 public:
  PickleWriter();

  void BeginDict();
  void EndDict();
  void BeginList();
  void EndList();
  void BeginTuple();
  void EndTuple();

  void String(std::string_view text);
  void Int(int32_t value);
  void Float(double value);
  void Bool(bool value);
  void None();
  // A name in a module, such as torch's bfloat16.
  void Global(std::string_view module, std::string_view name);
  // torch.Size([]).
  void EmptyTorchSize();

  // Ends the pickle and returns its bytes; throws kInternal when a Begin lacks its End.
  std::string Finish();

 private:
  enum class Container : uint8_t { kDict, kList, kTuple };
  void End(Container container, char opcode);

  std::string bytes_;
  std::vector<Container> open_;
};

// The bytes of a torch zip archive named `stem` (the file's name without extension) around
// `pickle`.
std::string TorchArchive(std::string_view stem, std::string_view pickle);

}  // namespace talon
