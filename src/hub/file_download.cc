#include "hub/file_download.h"

#include <algorithm>
#include <charconv>

#include "base/file.h"
#include "hub/content.h"

namespace fluxq {
namespace {

constexpr std::chrono::milliseconds kLockWait{300};

/// A strong ETag (RFC 9110, 8.8.3), or empty: a weak one does not name bytes.
std::string strong_etag(const HttpResponse& head) {
  const std::string_view etag = head.header("etag");
  return etag.size() > 2 && etag.front() == '"' && etag.back() == '"' ? std::string(etag) : "";
}

struct ContentRange {
  uint64_t begin = 0, end = 0;    // end: one past the last byte
  std::optional<uint64_t> total;  // nothing for "*"
};

/// "bytes 0-99/1000".
std::optional<ContentRange> parse_content_range(std::string_view text) {
  ContentRange range;
  uint64_t last = 0;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  const auto literal = [&](std::string_view expected) {
    if (!std::string_view(at, static_cast<size_t>(end - at)).starts_with(expected)) return false;
    at += expected.size();
    return true;
  };
  const auto number = [&](uint64_t& value) {
    const auto [next, error] = std::from_chars(at, end, value);
    at = next;
    return error == std::errc();
  };
  if (!literal("bytes ") || !number(range.begin) || !literal("-") || !number(last) || !literal("/"))
    return {};
  if (!literal("*")) {
    range.total.emplace();
    if (!number(*range.total)) return {};
  }
  if (at != end || last < range.begin || last == UINT64_MAX) return {};
  range.end = last + 1;
  return range;
}

void refuse_encoding(const HttpResponse& head, const std::string& name) {
  const std::string_view encoding = head.header("content-encoding");
  if (!encoding.empty() && encoding != "identity")
    fail(ErrorCode::network, "{}: expected the file as it is, got it in \"{}\" encoding from {}",
         name, encoding, shown_url(head.url));
}

}  // namespace

std::optional<FileDownload::Task> FileDownload::next() {
  const std::lock_guard lock(mutex_);
  if (stage_ == Stage::idle && !is_done() && Clock::now() >= not_before_) {
    stage_ = Stage::busy;
    return Task{};
  }
  if (stage_ != Stage::ranges) return {};
  const auto free = std::find(taken_.begin(), taken_.end(), false);
  if (free == taken_.end()) return {};
  *free = true;
  return Task{.chunk = static_cast<size_t>(free - taken_.begin()), .generation = generation_};
}

void FileDownload::run(const Task& task, HttpClient& client) {
  task.chunk ? run_chunk(*task.chunk, task.generation, client) : open(client);
}

FileProgress FileDownload::progress() const {
  return {.name = target_.name, .bytes = target_.bytes, .done_bytes = done_bytes_, .state = state_};
}

void FileDownload::open(HttpClient& client) {
  if (target_.is_there()) return finish();
  lock_ = FileLock::try_lock(target_.lock);
  if (!lock_) {  // another process brings it
    const std::lock_guard lock(mutex_);
    stage_ = Stage::idle;
    not_before_ = Clock::now() + kLockWait;
    return;
  }
  if (target_.is_there()) return finish();
  partial_ = std::make_unique<PartialFile>(
      target_.final_path, PartialFile::Plan{.bytes = target_.bytes,
                                            .hash = target_.hash,
                                            .chunk_bytes = context_.options.chunk_bytes});
  trusts_partial_ = partial_->was_resumed();
  state_ = FileProgress::State::loading;
  if (!target_.local_copy.empty() && !partial_->was_resumed()) copy_local();
  proceed(client);
}

void FileDownload::copy_local() {
  constexpr uint64_t kBlockBytes = 1 << 20;
  const InputFile source(target_.local_copy);
  if (source.size() != target_.bytes) return;
  std::vector<std::byte> block(std::min(kBlockBytes, target_.bytes));
  for (uint64_t offset = 0; offset < target_.bytes; offset += block.size()) {
    context_.stop.check();
    const std::span<std::byte> part(block.data(), std::min(kBlockBytes, target_.bytes - offset));
    source.read_at(offset, part);
    partial_->write(offset, part);
    done_bytes_ += part.size();
  }
  for (size_t chunk = 0; chunk < partial_->chunk_count(); ++chunk) partial_->mark_done(chunk);
  trusts_partial_ = true;
}

/// Goes on from what the partial file holds. The caller has the file for itself.
void FileDownload::proceed(HttpClient& client) {
  done_bytes_ = partial_->done_bytes();
  size_t first = partial_->chunk_count();
  {
    const std::lock_guard lock(mutex_);
    taken_.assign(partial_->chunk_count(), false);
    for (size_t chunk = taken_.size(); chunk-- > 0;) {
      taken_[chunk] = partial_->is_done(chunk);
      if (!taken_[chunk]) first = chunk;
    }
    chunks_left_ = static_cast<size_t>(std::count(taken_.begin(), taken_.end(), false));
    if (first < taken_.size()) taken_[first] = true;
  }
  if (chunks_left_ == 0) return check_and_publish(client);
  if (partial_->chunk_count() == 1) return fetch_whole(client);
  run_chunk(first, generation_, client);  // the others follow when this one shows that ranges work
}

void FileDownload::run_chunk(size_t chunk, unsigned generation, HttpClient& client) {
  const Outcome outcome = fetch_chunk(chunk, generation, client);
  if (outcome == Outcome::stale) return;
  if (outcome != Outcome::done) return restart(outcome, generation, client);
  {
    const std::lock_guard state_lock(state_mutex_);
    if (generation != generation_) return;
    partial_->mark_done(chunk);
    const std::lock_guard lock(mutex_);
    if (--chunks_left_ > 0) return;
    stage_ = Stage::busy;
  }
  check_and_publish(client);
}

void FileDownload::restart(Outcome how, unsigned generation, HttpClient& client) {
  {
    const std::unique_lock content_lock(content_mutex_);
    const std::lock_guard state_lock(state_mutex_);
    if (generation != generation_) return;  // another thread was first
    ++generation_;
    const std::lock_guard lock(mutex_);
    stage_ = Stage::busy;
    use_validator_ = false;  // the hash alone decides from now on
    partial_->reset();
    trusts_partial_ = false;
    done_bytes_ = 0;
  }
  how == Outcome::restart_whole ? fetch_whole(client) : proceed(client);
}

HttpRequest FileDownload::request_from(const std::string& location) const {
  if (!location.empty()) return {.url = location};
  return {.url = target_.url, .token = context_.access.token};
}

/// Remembers where the Hub sent us. False: the link is of no use any more, ask the Hub again.
bool FileDownload::note_location(const HttpResponse& response) {
  const bool elsewhere = Url(response.url).origin() != Url(target_.url).origin();
  const bool refused = response.status >= 400;
  const std::lock_guard lock(mutex_);
  location_ = elsewhere && !refused && response.complete() ? response.url : "";
  return !(elsewhere && refused);
}

bool FileDownload::take(unsigned generation, uint64_t offset, std::span<const std::byte> bytes) {
  const std::shared_lock lock(content_mutex_);
  if (generation != generation_) return false;
  partial_->write(offset, bytes);
  done_bytes_ += bytes.size();
  context_.network_bytes += bytes.size();
  return true;
}

FileDownload::Outcome FileDownload::judge_range(const HttpResponse& head, uint64_t begin,
                                                bool conditional, unsigned generation) {
  refuse_encoding(head, target_.name);
  // A whole file as the answer to a range: it has changed since, or there are no ranges here.
  if (head.status == 200) return conditional ? Outcome::restart_ranges : Outcome::restart_whole;
  const auto range = parse_content_range(head.header("content-range"));
  if (!range || range->begin != begin) return Outcome::restart_whole;
  if (range->total.value_or(target_.bytes) != target_.bytes)
    fail(ErrorCode::corrupt_file, "{}: expected {} bytes, got a file of {} from {}", target_.name,
         target_.bytes, *range->total, shown_url(head.url));
  const std::string etag = strong_etag(head);
  const std::lock_guard state_lock(state_mutex_);
  const std::lock_guard lock(mutex_);
  if (generation != generation_) return Outcome::stale;
  if (use_validator_ && !etag.empty()) {
    if (!partial_->validator().empty() && partial_->validator() != etag)
      return Outcome::restart_ranges;
    partial_->set_validator(etag);
  }
  if (stage_ == Stage::busy) stage_ = Stage::ranges;
  return Outcome::done;
}

FileDownload::Outcome FileDownload::fetch_chunk(size_t chunk, unsigned generation,
                                                HttpClient& client) {
  Retries retries(context_.options.http, context_.stop);
  uint64_t at = partial_->chunk_begin(chunk);
  const uint64_t end = partial_->chunk_end(chunk);
  struct Abandon {};  // thrown by the sink to end a transfer that is of no use
  while (at < end) {
    std::string location, validator;
    {
      const std::lock_guard state_lock(state_mutex_);
      const std::lock_guard lock(mutex_);
      if (generation != generation_) return Outcome::stale;
      location = location_;
      if (use_validator_) validator = partial_->validator();
    }
    HttpRequest request = request_from(location);
    request.headers = {fmt::format("Range: bytes={}-{}", at, end - 1)};
    if (!validator.empty()) request.headers.push_back("If-Range: " + validator);
    const uint64_t begin = at;
    Outcome outcome = Outcome::done;
    HttpResponse response;
    try {
      response = client.send(request, [&](const HttpResponse& head) -> BodySink {
        if (head.status != 200 && head.status != 206) return {};
        outcome = judge_range(head, begin, !validator.empty(), generation);
        if (outcome != Outcome::done) throw Abandon();
        note_location(head);
        return [&](std::span<const std::byte> bytes) {
          // More than was asked for: the rest is not ours to write.
          if (!take(generation, at, bytes.first(std::min<uint64_t>(bytes.size(), end - at)))) {
            outcome = Outcome::stale;
            throw Abandon();
          }
          at += std::min<uint64_t>(bytes.size(), end - at);
        };
      });
    } catch (const Abandon&) {
      return outcome;
    }
    if (at >= end) break;
    if (at > begin) {
      retries.reset();
      if (response.complete()) continue;  // a shorter range than was asked for
    } else if (response.complete() && !Retries::is_temporary(response)) {
      if (response.status == 416) return Outcome::restart_whole;
      if (note_location(response) && response.status >= 400)
        fail_access(response, context_.access, context_.name);
    }
    retries.wait(response, target_.name);
  }
  return Outcome::done;
}

void FileDownload::fetch_whole(HttpClient& client) {
  Retries retries(context_.options.http, context_.stop);
  const unsigned generation = generation_;
  for (;;) {
    uint64_t at = 0;
    done_bytes_ = 0;
    const HttpResponse response =
        client.send(request_from(""), [&](const HttpResponse& head) -> BodySink {
          if (head.status != 200) return {};
          refuse_encoding(head, target_.name);
          uint64_t length = target_.bytes;
          const std::string_view text = head.header("content-length");
          std::from_chars(text.data(), text.data() + text.size(), length);
          if (length != target_.bytes)
            fail(ErrorCode::corrupt_file, "{}: expected {} bytes, got a file of {} from {}",
                 target_.name, target_.bytes, length, shown_url(head.url));
          return [&](std::span<const std::byte> bytes) {
            if (bytes.size() > target_.bytes - at)
              fail(ErrorCode::corrupt_file, "{}: expected {} bytes, got more", target_.name,
                   target_.bytes);
            take(generation, at, bytes);
            at += bytes.size();
          };
        });
    if (response.complete() && response.status == 200) {
      if (at != target_.bytes)
        fail(ErrorCode::corrupt_file, "{}: expected {} bytes, got {}", target_.name, target_.bytes,
             at);
      break;
    }
    if (!Retries::is_temporary(response) && note_location(response))
      fail_access(response, context_.access, context_.name);
    retries.wait(response, target_.name);
  }
  check_and_publish(client);
}

void FileDownload::check_and_publish(HttpClient& client) {
  state_ = FileProgress::State::checking;
  const std::string hash = hash_file(partial_->path(), target_.hash, context_.stop);
  if (hash != target_.hash) {
    if (trusts_partial_) {  // once more, from the network alone
      state_ = FileProgress::State::loading;
      return restart(Outcome::restart_ranges, generation_, client);
    }
    partial_->discard();
    fail(ErrorCode::corrupt_file, "{}: expected {} {}, got {}; it was not kept", target_.name,
         hash_name(target_.hash), target_.hash, hash);
  }
  partial_->publish();
  if (target_.on_published) target_.on_published();
  finish();
}

void FileDownload::finish() {
  const std::lock_guard lock(mutex_);
  partial_.reset();
  lock_.reset();
  stage_ = Stage::idle;
  done_bytes_ = target_.bytes;
  state_ = FileProgress::State::done;
}

}  // namespace fluxq
