#include "talon/checkpoint/torch_archive.h"

#include <array>
#include <bit>

#include "talon/base/error.h"

namespace talon {
namespace {

void AppendLittleEndian(std::string& out, uint64_t value, int size_bytes) {
  for (int i = 0; i < size_bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

constexpr std::array<uint32_t, 256> MakeCrcTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1u) != 0 ? 0xEDB88320u : 0u);
    table[byte] = value;
  }
  return table;
}

uint32_t Crc32(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) crc = kTable[(crc ^ static_cast<uint8_t>(c)) & 0xFFu] ^ (crc >> 8);
  return ~crc;
}

// A zip file of stored entries (PKWARE APPNOTE 4.3).
class ZipWriter {
 public:
  void Add(const std::string& name, std::string_view content) {
    const uint64_t offset = file_.size();
    std::string fields;                   // shared by the local and the central header
    AppendLittleEndian(fields, 20, 2);    // version needed
    AppendLittleEndian(fields, 0, 2);     // flags
    AppendLittleEndian(fields, 0, 2);     // method: stored
    AppendLittleEndian(fields, 0, 2);     // time
    AppendLittleEndian(fields, 0x21, 2);  // date: 1980-01-01
    AppendLittleEndian(fields, Crc32(content), 4);
    AppendLittleEndian(fields, content.size(), 4);
    AppendLittleEndian(fields, content.size(), 4);
    AppendLittleEndian(fields, name.size(), 2);
    AppendLittleEndian(fields, 0, 2);  // extra field
    file_ += "PK\x03\x04";
    file_ += fields;
    file_ += name;
    file_ += content;

    directory_ += "PK\x01\x02";
    AppendLittleEndian(directory_, 20, 2);  // version made by
    directory_ += fields;
    AppendLittleEndian(directory_, 0, 2);  // comment
    AppendLittleEndian(directory_, 0, 2);  // disk
    AppendLittleEndian(directory_, 0, 2);  // internal attributes
    AppendLittleEndian(directory_, 0, 4);  // external attributes
    AppendLittleEndian(directory_, offset, 4);
    directory_ += name;
    ++num_entries_;
  }

  std::string Finish() {
    const uint64_t directory_offset = file_.size();
    file_ += directory_;
    file_ += "PK\x05\x06";
    AppendLittleEndian(file_, 0, 4);  // disks
    AppendLittleEndian(file_, num_entries_, 2);
    AppendLittleEndian(file_, num_entries_, 2);
    AppendLittleEndian(file_, directory_.size(), 4);
    AppendLittleEndian(file_, directory_offset, 4);
    AppendLittleEndian(file_, 0, 2);  // comment
    return std::move(file_);
  }

 private:
  std::string file_;
  std::string directory_;
  uint64_t num_entries_ = 0;
};

}  // namespace

PickleWriter::PickleWriter() : bytes_("\x80\x02") {}

void PickleWriter::BeginDict() {
  bytes_ += "}(";
  open_.push_back(Container::kDict);
}

void PickleWriter::EndDict() { End(Container::kDict, 'u'); }

void PickleWriter::BeginList() {
  bytes_ += "](";
  open_.push_back(Container::kList);
}

void PickleWriter::EndList() { End(Container::kList, 'e'); }

void PickleWriter::BeginTuple() {
  bytes_ += "(";
  open_.push_back(Container::kTuple);
}

void PickleWriter::EndTuple() { End(Container::kTuple, 't'); }

void PickleWriter::End(Container container, char opcode) {
  CheckInternal(!open_.empty() && open_.back() == container, "pickle containers are not nested");
  open_.pop_back();
  bytes_ += opcode;
}

void PickleWriter::String(std::string_view text) {
  bytes_ += 'X';
  AppendLittleEndian(bytes_, text.size(), 4);
  bytes_ += text;
}

void PickleWriter::Int(int32_t value) {
  if (value >= 0 && value < 256) {
    bytes_ += 'K';
    AppendLittleEndian(bytes_, static_cast<uint64_t>(value), 1);
  } else {
    bytes_ += 'J';
    AppendLittleEndian(bytes_, static_cast<uint32_t>(value), 4);
  }
}

void PickleWriter::Float(double value) {
  bytes_ += 'G';  // big-endian, unlike everything else
  const auto bits = std::bit_cast<uint64_t>(value);
  for (int shift = 56; shift >= 0; shift -= 8) bytes_ += static_cast<char>(bits >> shift);
}

void PickleWriter::Bool(bool value) { bytes_ += value ? '\x88' : '\x89'; }

void PickleWriter::None() { bytes_ += 'N'; }

void PickleWriter::Global(std::string_view module, std::string_view name) {
  bytes_ += 'c';
  bytes_ += module;
  bytes_ += '\n';
  bytes_ += name;
  bytes_ += '\n';
}

void PickleWriter::EmptyTorchSize() {
  Global("torch", "Size");
  bytes_ += ")\x85R";  // torch.Size(())
}

std::string PickleWriter::Finish() {
  CheckInternal(open_.empty(), "a pickle container was not ended");
  bytes_ += '.';
  return std::move(bytes_);
}

std::string TorchArchive(std::string_view stem, std::string_view pickle) {
  const std::string prefix = std::string(stem) + "/";
  ZipWriter zip;
  zip.Add(prefix + "data.pkl", pickle);
  zip.Add(prefix + "byteorder", "little");
  zip.Add(prefix + "version", "3\n");
  return zip.Finish();
}

}  // namespace talon
