#include "tests/quantize/pickle_reader.h"

#include <bit>
#include <map>
#include <stdexcept>
#include <vector>

namespace talon::test {
namespace {

using nlohmann::json;

uint64_t LittleEndian(std::string_view bytes, size_t offset, size_t size) {
  uint64_t value = 0;
  for (size_t i = 0; i < size; ++i) {
    value |= static_cast<uint64_t>(static_cast<uint8_t>(bytes.at(offset + i))) << (8 * i);
  }
  return value;
}

struct ZipEntry {
  std::string name;
  std::string_view content;
};

// Walks the central directory; entries must be stored.
std::vector<ZipEntry> ReadZip(std::string_view zip) {
  const size_t end = zip.rfind("PK\x05\x06");
  if (end == std::string_view::npos) throw std::runtime_error("no end of central directory");
  const uint64_t count = LittleEndian(zip, end + 10, 2);
  uint64_t at = LittleEndian(zip, end + 16, 4);
  std::vector<ZipEntry> entries;
  for (uint64_t i = 0; i < count; ++i) {
    if (zip.substr(at, 4) != "PK\x01\x02") throw std::runtime_error("bad central header");
    if (LittleEndian(zip, at + 10, 2) != 0) throw std::runtime_error("compressed entry");
    const uint64_t size = LittleEndian(zip, at + 24, 4);
    const uint64_t name_size = LittleEndian(zip, at + 28, 2);
    const uint64_t local = LittleEndian(zip, at + 42, 4);
    if (zip.substr(local, 4) != "PK\x03\x04") throw std::runtime_error("bad local header");
    const uint64_t skip = LittleEndian(zip, local + 26, 2) + LittleEndian(zip, local + 28, 2);
    entries.push_back(
        {std::string(zip.substr(at + 46, name_size)), zip.substr(local + 30 + skip, size)});
    at += 46 + name_size + LittleEndian(zip, at + 30, 2) + LittleEndian(zip, at + 32, 2);
  }
  return entries;
}

class PickleReader {
 public:
  explicit PickleReader(std::string_view pickle) : pickle_(pickle) {}

  json Read() {
    for (;;) {
      const auto opcode = static_cast<uint8_t>(Take(1)[0]);
      if (opcode == '.') return stack_.back();
      const size_t size = stack_.size();
      Step(opcode);
      if (stack_.size() > size) memo_of_slot_.erase(stack_.size());
    }
  }

 private:
  std::string_view Take(size_t size) {
    const std::string_view bytes = pickle_.substr(at_, size);
    if (bytes.size() != size) throw std::runtime_error("pickle ends early");
    at_ += size;
    return bytes;
  }
  uint64_t TakeUnsigned(size_t size) { return LittleEndian(Take(size), 0, size); }
  std::string TakeLine() {
    const size_t stop = pickle_.find('\n', at_);
    std::string line(pickle_.substr(at_, stop - at_));
    at_ = stop + 1;
    return line;
  }

  json Pop() {
    json value = std::move(stack_.back());
    stack_.pop_back();
    return value;
  }
  std::vector<json> PopToMark() {
    const size_t mark = marks_.back();
    marks_.pop_back();
    std::vector<json> values(stack_.begin() + static_cast<ptrdiff_t>(mark), stack_.end());
    stack_.resize(mark);
    return values;
  }
  void PushTuple(const std::vector<json>& values) { stack_.push_back({{"tuple", values}}); }
  void PopTuple(size_t size) {
    const std::vector<json> values(stack_.end() - static_cast<ptrdiff_t>(size), stack_.end());
    stack_.resize(stack_.size() - size);
    PushTuple(values);
  }
  // A container is memoized empty and filled later; nothing refers to it in between.
  void Memoize(uint64_t id) {
    memo_[id] = stack_.back();
    memo_of_slot_[stack_.size()] = id;
  }
  void Filled() {
    const auto id = memo_of_slot_.find(stack_.size());
    if (id != memo_of_slot_.end()) memo_[id->second] = stack_.back();
  }
  static std::string Key(const json& key) {
    return key.is_string() ? key.get<std::string>() : key.dump();
  }

  void Step(uint8_t opcode) {
    switch (opcode) {
      case 0x80:
        if (Take(1) != "\x02") throw std::runtime_error("not protocol 2");
        return;
      case '}':
        return stack_.push_back(json::object());
      case ']':
        return stack_.push_back(json::array());
      case ')':
        return PushTuple({});
      case '(':
        return marks_.push_back(stack_.size());
      case 'N':
        return stack_.push_back(nullptr);
      case 0x88:
        return stack_.push_back(true);
      case 0x89:
        return stack_.push_back(false);
      case 'q':
        return Memoize(TakeUnsigned(1));
      case 'h':
        return stack_.push_back(memo_.at(TakeUnsigned(1)));
      case 'r':
        return Memoize(TakeUnsigned(4));
      case 'j':
        return stack_.push_back(memo_.at(TakeUnsigned(4)));
      default:
        return StepValue(opcode);
    }
  }

  void StepValue(uint8_t opcode) {
    switch (opcode) {
      case 'X': {
        const size_t size = TakeUnsigned(4);
        return stack_.push_back(std::string(Take(size)));
      }
      case 'K':
        return stack_.push_back(TakeUnsigned(1));
      case 'M':
        return stack_.push_back(TakeUnsigned(2));
      case 'J':
        return stack_.push_back(static_cast<int32_t>(TakeUnsigned(4)));
      case 'G': {
        uint64_t bits = 0;
        for (const char c : Take(8)) bits = (bits << 8) | static_cast<uint8_t>(c);
        return stack_.push_back(std::bit_cast<double>(bits));
      }
      case 'c': {
        const std::string module = TakeLine();
        return stack_.push_back(module + "." + TakeLine());
      }
      default:
        return StepContainer(opcode);
    }
  }

  void StepContainer(uint8_t opcode) {
    switch (opcode) {
      case 'u': {
        const std::vector<json> values = PopToMark();
        for (size_t i = 0; i + 1 < values.size(); i += 2) {
          stack_.back()[Key(values[i])] = values[i + 1];
        }
        return Filled();
      }
      case 's': {
        const json value = Pop();
        const json key = Pop();
        stack_.back()[Key(key)] = value;
        return Filled();
      }
      case 'e':
        for (const json& value : PopToMark()) stack_.back().push_back(value);
        return Filled();
      case 'a': {
        const json value = Pop();
        stack_.back().push_back(value);
        return Filled();
      }
      case 't':
        return PushTuple(PopToMark());
      case 0x85:
      case 0x86:
      case 0x87:
        return PopTuple(opcode - 0x84u);
      case 'R': {
        const json arguments = Pop();
        const json function = Pop();
        return stack_.push_back({{"call", function}, {"args", arguments}});
      }
      default:
        throw std::runtime_error("unknown opcode " + std::to_string(opcode));
    }
  }

  std::string_view pickle_;
  size_t at_ = 0;
  std::vector<json> stack_;
  std::vector<size_t> marks_;
  std::map<uint64_t, json> memo_;
  std::map<size_t, uint64_t> memo_of_slot_;  // by stack size
};

}  // namespace

json ReadTorchArchive(std::string_view archive) {
  for (const ZipEntry& entry : ReadZip(archive)) {
    if (entry.name.ends_with("/data.pkl")) return PickleReader(entry.content).Read();
  }
  throw std::runtime_error("no data.pkl");
}

std::vector<std::string> TorchArchiveEntries(std::string_view archive) {
  std::vector<std::string> names;
  for (const ZipEntry& entry : ReadZip(archive)) names.push_back(entry.name);
  return names;
}

}  // namespace talon::test
