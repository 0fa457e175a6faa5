// The safetensors reader against real files and a table of malformed ones; the writer byte for byte
// against a file written by the reference library.
#include "talon/checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <cstring>

#include "talon/base/json.h"
#include "tests/checkpoint/safetensors_builder.h"
#include "tests/support/test_data.h"

namespace talon {
namespace {

using test::ExpectError;
using test::SafetensorsBytes;
using test::TempDir;
using test::TestData;
using test::WriteBytes;

std::span<const std::byte> AsBytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

SafetensorsFile Parse(const std::string& bytes) {
  return SafetensorsFile::FromMemory(AsBytes(bytes), "bad.safetensors");
}

TEST(Safetensors, ReadsARealFile) {
  const SafetensorsFile file(TestData("modelopt-nvfp4-drafter/model.safetensors"));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.header().size(), 3856U);
  const TensorView& d2t = file.tensors().at("d2t");
  EXPECT_EQ(d2t.dtype, DType::kI64);
  EXPECT_EQ(d2t.ShapeText(), "[4096]");
  EXPECT_EQ(d2t.num_elements(), 4096);
  EXPECT_EQ(d2t.bytes.size(), 32768U);
  const TensorView& scale = file.tensors().at("fc.weight_scale");
  EXPECT_EQ(scale.dtype, DType::kF8E4M3);
  EXPECT_EQ(scale.ShapeText(), "[384, 72]");
  const TensorView& scalar = file.tensors().at("fc.input_scale");
  EXPECT_EQ(scalar.ShapeText(), "[]");
  EXPECT_EQ(scalar.num_elements(), 1);
}

TEST(Safetensors, BytesAreWhereTheHeaderSays) {
  const std::string bytes =
      SafetensorsBytes(R"(  {"b":{"data_offsets":[4,6],"shape":[2],"dtype":"U8"},)"
                       R"("a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                       R"("empty":{"dtype":"BF16","shape":[3,0],"data_offsets":[4,4]}}   )",
                       6);
  const SafetensorsFile file = Parse(bytes);
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(std::to_integer<int>(file.tensors().at("b").bytes[0]), 4);
  EXPECT_EQ(std::to_integer<int>(file.tensors().at("b").bytes[1]), 5);
  EXPECT_TRUE(file.tensors().at("empty").bytes.empty());
  EXPECT_TRUE(file.metadata().empty());
}

TEST(Safetensors, TensorsAreAlignedEvenWhenTheHeaderIsNotPadded) {
  for (size_t padding = 0; padding < 8; ++padding) {
    const std::string header =
        R"({"x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})" + std::string(padding, ' ');
    const std::string bytes = SafetensorsBytes(header, 8);
    const SafetensorsFile file = Parse(bytes);
    const TensorView& tensor = file.tensors().at("x");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes.data()) % 8, 0U);
    EXPECT_EQ(std::memcmp(tensor.bytes.data(), "\0\1\2\3\4\5\6\7", 8), 0);
  }
}

TEST(Safetensors, AFileWithoutTensorsIsValid) {
  EXPECT_TRUE(Parse(SafetensorsBytes("{}", 0)).tensors().empty());
  EXPECT_EQ(Parse(SafetensorsBytes(R"({"__metadata__":{"a":"b"}})", 0)).metadata().at("a"), "b");
}

struct Malformed {
  const char* what;
  std::string bytes;
  const char* message;
};

// One tensor "x" with the given fields and four bytes of data.
std::string OneTensor(const std::string& fields, size_t data_bytes = 4) {
  return SafetensorsBytes(R"({"x":{)" + fields + "}}", data_bytes);
}

std::string TwoTensors(const std::string& first, const std::string& second, size_t data_bytes) {
  const auto entry = [](const std::string& offsets) {
    return R"({"dtype":"U8","shape":[4],"data_offsets":[)" + offsets + "]}";
  };
  return SafetensorsBytes(R"({"a":)" + entry(first) + R"(,"b":)" + entry(second) + "}", data_bytes);
}

TEST(Safetensors, RefusesBrokenFraming) {
  const std::string good = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
  const std::vector<Malformed> table = {
      {"empty file", "", "0 bytes, too short"},
      {"short length word", "1234567", "7 bytes, too short"},
      {"absurd length", test::LengthWord(~uint64_t{0}) + "{}", "more than the format's limit"},
      {"length above the limit", test::LengthWord(100'000'001) + "{}", "100000001"},
      {"length past the end", test::LengthWord(100) + "{}", "only 2 follow it"},
      {"no header", SafetensorsBytes("", 0), "not a JSON object"},
      {"spaces only", SafetensorsBytes("   ", 0), "not a JSON object"},
      {"a list", SafetensorsBytes("[]", 0), "not a JSON object"},
      {"byte order mark", SafetensorsBytes("\xEF\xBB\xBF{}", 0), "not a JSON object"},
      {"cut JSON", SafetensorsBytes(R"({"x":{"dtype")", 0), "not valid JSON"},
      {"text after the object", SafetensorsBytes("{} x", 0), "not valid JSON"},
      {"invalid UTF-8", SafetensorsBytes("{\"\xFF\":1}", 0), "not valid JSON"},
      {"deep nesting", SafetensorsBytes(R"({"x":)" + std::string(5000, '['), 0), "too deeply"},
      {"trailing bytes", OneTensor(good, 5), "1 bytes follow the last tensor"},
      {"truncated data", OneTensor(good, 3), "only 3 bytes of data"},
      {"data without tensors", SafetensorsBytes("{}", 8), "8 bytes follow the last tensor"},
      {"metadata is a list", SafetensorsBytes(R"({"__metadata__":[]})", 0), "'__metadata__'"},
      {"metadata number", SafetensorsBytes(R"({"__metadata__":{"a":1}})", 0), "'a' is no string"},
      {"repeated tensor", SafetensorsBytes("{\"x\":{" + good + "},\"x\":{" + good + "}}", 4),
       "key 'x' twice"},
      {"repeated field", OneTensor(good + R"(,"shape":[1])"), "key 'shape' twice"},
      {"repeated metadata", SafetensorsBytes(R"({"__metadata__":{"a":"1","a":"2"}})", 0),
       "key 'a' twice"},
  };
  for (const Malformed& item : table) {
    SCOPED_TRACE(item.what);
    ExpectError(ErrorCode::kDataLoss, item.message, [&] { Parse(item.bytes); });
    ExpectError(ErrorCode::kDataLoss, "bad.safetensors", [&] { Parse(item.bytes); });
  }
}

TEST(Safetensors, RefusesBrokenTensors) {
  const std::vector<Malformed> table = {
      {"entry is a number", SafetensorsBytes(R"({"x":1})", 0), "no JSON object"},
      {"no dtype", OneTensor(R"("shape":[1],"data_offsets":[0,4])"), "'dtype' is missing"},
      {"no shape", OneTensor(R"("dtype":"F32","data_offsets":[0,4])"), "'shape' is missing"},
      {"no offsets", OneTensor(R"("dtype":"F32","shape":[1])"), "'data_offsets' is missing"},
      {"unknown dtype", OneTensor(R"("dtype":"F31","shape":[1],"data_offsets":[0,4])"),
       "unknown dtype 'F31'"},
      {"negative size", OneTensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), "-1"},
      {"fractional size", OneTensor(R"("dtype":"F32","shape":[1.0],"data_offsets":[0,4])"), "1.0"},
      {"text size", OneTensor(R"("dtype":"F32","shape":["1"],"data_offsets":[0,4])"), "\"1\""},
      {"size above int64",
       OneTensor(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4])"),
       "9223372036854775808"},
      {"shape overflow",
       OneTensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4])"),
       "too large"},
      {"byte overflow",
       OneTensor(R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,4])"),
       "too large"},
      {"one offset", OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[0])"), "no pair"},
      {"three offsets", OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])"),
       "no pair"},
      {"reversed offsets", OneTensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"),
       "no pair"},
      {"end past the file", OneTensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"),
       "its bytes end at 8"},
      {"shape smaller than bytes", OneTensor(R"("dtype":"U8","shape":[3],"data_offsets":[0,4])"),
       "4 bytes in the file, but U8 [3] takes 3"},
      {"dtype larger than bytes", OneTensor(R"("dtype":"F64","shape":[1],"data_offsets":[0,4])"),
       "4 bytes in the file, but F64 [1] takes 8"},
      {"scalar of the wrong size", OneTensor(R"("dtype":"BF16","shape":[],"data_offsets":[0,4])"),
       "BF16 [] takes 2"},
      {"overlap", TwoTensors("0,4", "2,6", 6), "tensor 'b' starts at byte 2"},
      {"same range twice", TwoTensors("0,4", "0,4", 4), "overlaps"},
      {"hole", TwoTensors("0,4", "5,9", 9), "hole"},
      {"hole at the start", TwoTensors("1,5", "5,9", 9), "tensor 'a' starts at byte 1"},
  };
  for (const Malformed& item : table) {
    SCOPED_TRACE(item.what);
    ExpectError(ErrorCode::kDataLoss, item.message, [&] { Parse(item.bytes); });
  }
  ExpectError(ErrorCode::kUnsupported, "tensor 'x': dtype F8_E8M0",
              [&] { Parse(OneTensor(R"("dtype":"F8_E8M0","shape":[4],"data_offsets":[0,4])")); });
}

TEST(Safetensors, TruncatedRealFileIsRefusedAtEveryLength) {
  const std::string whole = ReadTextFile(TestData("gemma4-dense/model.safetensors"));
  ASSERT_NO_THROW(Parse(whole));
  for (size_t size = 0; size < whole.size(); size += 1 + size / 3) {
    const std::string cut = whole.substr(0, size);
    ExpectError(ErrorCode::kDataLoss, "bad.safetensors", [&] { Parse(cut); });
  }
}

TEST(Safetensors, MissingFileIsNamed) {
  ExpectError(ErrorCode::kNotFound, "/nowhere/model.safetensors",
              [] { SafetensorsFile("/nowhere/model.safetensors"); });
}

// Writes every tensor of `store` again.
void Rewrite(const TensorStore& store, const std::map<std::string, std::string>& metadata,
             const std::filesystem::path& target) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : store.tensors()) {
    specs.push_back({name, tensor.dtype, tensor.shape});
  }
  WriteSafetensors(target, specs, metadata, [&](const TensorSpec& spec, const AppendBytes& append) {
    append(store.Get(spec.name).bytes);
  });
}

TEST(SafetensorsWriter, EqualsTheReferenceLibraryByteForByte) {
  const TempDir folder;
  for (const char* name :
       {"modelopt-nvfp4-drafter/model.safetensors", "gemma4-dense/model.safetensors",
        "gemma3/reference.safetensors", "modelopt-nvfp4-drafter/vectors/vectors.safetensors"}) {
    SCOPED_TRACE(name);
    const std::filesystem::path target = folder.path() / "copy.safetensors";
    Rewrite(TensorStore::OpenFile(TestData(name)), SafetensorsFile(TestData(name)).metadata(),
            target);
    EXPECT_TRUE(ReadTextFile(target) == ReadTextFile(TestData(name)));
  }
}

TEST(SafetensorsWriter, EscapesNamesAndPadsTheHeader) {
  const TempDir folder;
  const std::filesystem::path target = folder.path() / "names.safetensors";
  const std::string name = "a \"quoted\" \\ name\n\x01 ü";
  WriteSafetensors(target, {{name, DType::kU8, {1}}}, {{"key\t", "value"}},
                   [](const TensorSpec&, const AppendBytes& append) {
                     append(std::as_bytes(std::span("7", 1)));
                   });
  const SafetensorsFile file(target);
  EXPECT_EQ(file.header().size() % 8, 0U);
  EXPECT_EQ(file.metadata().at("key\t"), "value");
  EXPECT_EQ(std::to_integer<char>(file.tensors().at(name).bytes[0]), '7');
}

TEST(SafetensorsWriter, LeavesNothingWhenATensorHasTheWrongSize) {
  const TempDir folder;
  const std::filesystem::path target = folder.path() / "short.safetensors";
  ExpectError(ErrorCode::kInternal, "tensor 'x' was written with 0 bytes instead of 8", [&] {
    WriteSafetensors(target, {{"x", DType::kF32, {2}}}, {},
                     [](const TensorSpec&, const AppendBytes&) {});
  });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace talon
