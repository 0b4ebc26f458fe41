/// Runs a fuzz target without libFuzzer, where there is no clang: all files of a corpus, then
/// random changes of them. Takes the few options of libFuzzer that scripts/fuzz.sh uses:
///   TARGET [-runs=N] [-max_total_time=SECONDS] [-seed=N] [-max_len=N] FILE_OR_FOLDER...
/// Without -runs and -max_total_time it only runs the corpus. An input that ends the program is
/// kept as "crash-PID".
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size,
                                          unsigned seed);

namespace {

using Bytes = std::vector<uint8_t>;
using Clock = std::chrono::steady_clock;

/// The longest that one input may take.
constexpr unsigned kSecondsPerInput = 20;

std::vector<Bytes> corpus;
std::mt19937_64 generator;
const Bytes* current = nullptr;

size_t below(size_t end) { return end == 0 ? 0 : generator() % end; }

/// Keeps the input that did it, then ends as it would have ended.
void on_death(int signal) {
  const std::string name = "crash-" + std::to_string(::getpid());
  if (current) {
    std::ofstream(name, std::ios::binary)
        .write(reinterpret_cast<const char*>(current->data()),
               static_cast<std::streamsize>(current->size()));
    std::fprintf(stderr, "signal %d; the input is kept in %s\n", signal, name.c_str());
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void run(const Bytes& input) {
  current = &input;
  ::alarm(kSecondsPerInput);
  LLVMFuzzerTestOneInput(input.data(), input.size());
  ::alarm(0);
}

void load(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    std::vector<std::filesystem::path> entries;
    for (const auto& entry : std::filesystem::directory_iterator(path))
      entries.push_back(entry.path());
    std::sort(entries.begin(), entries.end());
    for (const auto& entry : entries) load(entry);
    return;
  }
  std::ifstream in(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << in.rdbuf();
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::exit(1);
  }
  const std::string text = bytes.str();
  corpus.emplace_back(text.begin(), text.end());
}

}  // namespace

/// One random change, as libFuzzer's function of that name makes it.
extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size) {
  static constexpr int64_t kNumbers[] = {
      0,     1,     -1,         127,           128,        255,       256,      32767,
      65535, 65536, 0x7fffffff, -0x80000000LL, 0xffffffff, INT64_MAX, INT64_MIN};
  static constexpr const char* kWords[] = {"null",
                                           "{}",
                                           "[]",
                                           "\"\"",
                                           "-1",
                                           "1e400",
                                           "[[[[[[[[[",
                                           "\\u0000",
                                           "0.5",
                                           "true",
                                           "\xff",
                                           "\xf0\x9f\x8d\x95",
                                           "18446744073709551616",
                                           ",",
                                           ":",
                                           "{\"a\":",
                                           "\n%%\n"};
  const size_t at = below(size + 1);
  const auto insert = [&](const void* bytes, size_t length) {
    length = std::min(length, max_size - size);
    if (length == 0) return size;  // an empty vector's data() is null
    std::memmove(data + at + length, data + at, size - at);
    std::memcpy(data + at, bytes, length);
    return size + length;
  };
  const auto overwrite = [&](const void* bytes, size_t length) {
    std::memcpy(data + at, bytes, std::min(length, size - at));
    return size;
  };
  switch (below(9)) {
    case 0:
      if (at < size) data[at] ^= static_cast<uint8_t>(1 << below(8));
      return size;
    case 1:
      if (at < size) data[at] = static_cast<uint8_t>(below(256));
      return size;
    case 2: {  // less
      const size_t length = std::min(1 + below(16), size - at);
      std::memmove(data + at, data + at + length, size - at - length);
      return size - length;
    }
    case 3:
      return at;
    case 4: {  // something of itself, again
      const size_t from = below(size + 1);
      const std::vector<uint8_t> copy(data + from, data + from + std::min(below(64), size - from));
      return insert(copy.data(), copy.size());
    }
    case 5: {  // something of another input
      if (corpus.empty()) return size;
      const Bytes& other = corpus[below(corpus.size())];
      const size_t from = below(other.size() + 1);
      return insert(other.data() + from, std::min(below(64), other.size() - from));
    }
    case 6: {
      const int64_t number = kNumbers[below(std::size(kNumbers))];
      return overwrite(&number, size_t{1} << below(4));
    }
    case 7: {
      const char* word = kWords[below(std::size(kWords))];
      return insert(word, std::strlen(word));
    }
    default: {
      const std::string digits = std::to_string(kNumbers[below(std::size(kNumbers))]);
      return insert(digits.data(), digits.size());
    }
  }
}

int main(int argc, char** argv) {
  uint64_t runs = 0, seconds = 0, seed = 1, max_bytes = 16384;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto is = [&](const char* name, uint64_t& value) {
      const size_t length = std::strlen(name);
      if (argument.compare(0, length, name) != 0) return false;
      value = std::strtoull(argument.c_str() + length, nullptr, 10);
      return true;
    };
    if (is("-runs=", runs) || is("-max_total_time=", seconds) || is("-seed=", seed) ||
        is("-max_len=", max_bytes) || argument[0] == '-')
      continue;
    load(argument);
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "expected a corpus\n");
    return 1;
  }
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGALRM})
    std::signal(signal, on_death);
  generator.seed(seed);
  for (const Bytes& input : corpus) run(input);

  uint64_t done = 0;
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  while (done < runs || (seconds > 0 && Clock::now() < end)) {
    Bytes input = corpus[below(corpus.size())];
    const size_t room = std::max<size_t>(max_bytes, input.size());
    size_t size = input.size();
    input.resize(room + 1);
    for (size_t changes = 1 + below(4); changes > 0; --changes)
      size = LLVMFuzzerCustomMutator(input.data(), size, room, static_cast<unsigned>(generator()));
    input.resize(size);
    run(input);
    ++done;
  }
  std::printf("stat::number_of_executed_units: %zu\n", corpus.size() + static_cast<size_t>(done));
  return 0;
}
