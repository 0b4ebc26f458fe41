#include "hub/http.h"

#include <curl/curl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <thread>

#include "base/error.h"
#include "fluxq/version.h"

namespace fluxq {
namespace {

constexpr int kPollMs = 100;  // how late a cancel may be noticed
constexpr size_t kMaxHeadBytes = 64 << 10;
constexpr size_t kMaxErrorBodyBytes = 64 << 10;
constexpr int64_t kMaxWaitMs = 30'000;

using Clock = std::chrono::steady_clock;

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

/// curl sets itself up once per process.
void require_curl() {
  static const CURLcode result = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (result != CURLE_OK)
    fail(ErrorCode::internal, "libcurl cannot start: {}", curl_easy_strerror(result));
}

/// The file of trusted certificates: what the user names (in the variables of OpenSSL, Python and
/// curl), else curl's own default, else where other distributions keep it. Empty: curl's default.
std::string certificate_file() {
  for (const char* variable : {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
    if (const char* value = std::getenv(variable); value && *value) return value;
  const curl_version_info_data* version = curl_version_info(CURLVERSION_NOW);
  if (version->age >= CURLVERSION_SEVENTH && version->cainfo &&
      ::access(version->cainfo, R_OK) == 0)
    return {};
  for (const char* file : {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                           "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"})
    if (::access(file, R_OK) == 0) return file;
  return {};
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// What curl's callbacks fill.
struct Transfer {
  const HttpOptions& options;
  const std::function<BodySink(const HttpResponse&)>& choose;
  HttpResponse response = {};
  BodySink sink = {};
  size_t head_bytes = 0;
  bool head_done = false;
  uint64_t bytes = 0;  // received, heads included
  std::exception_ptr exception = {};

  void take_header_line(std::string_view line) {
    bytes += line.size();
    head_bytes += line.size();
    if (head_done) return;  // a trailer
    if (head_bytes > kMaxHeadBytes)
      fail(ErrorCode::network, "{}: expected headers of at most {} bytes, got more",
           shown_url(response.url), kMaxHeadBytes);
    line = trimmed(line);
    if (line.starts_with("HTTP/")) {
      response.headers.clear();
      response.status = 0;
      const size_t space = std::min(line.find(' '), line.size() - 1);
      std::from_chars(line.data() + space + 1, line.data() + line.size(), response.status);
    } else if (line.empty()) {
      if (response.status < 200) return;  // 100 Continue: the real head follows
      head_done = true;
      if (choose && !is_redirect(response.status)) sink = choose(response);
    } else if (const size_t colon = line.find(':'); colon != line.npos) {
      response.headers.emplace(lower(trimmed(line.substr(0, colon))),
                               trimmed(line.substr(colon + 1)));
    }
  }

  void take_body(std::span<const std::byte> piece) {
    bytes += piece.size();
    if (sink) return sink(piece);
    const bool wanted = response.status >= 200 && response.status < 300;
    const size_t limit = wanted ? options.max_body_bytes : kMaxErrorBodyBytes;
    const size_t room = limit - response.body.size();
    if (wanted && piece.size() > room)
      fail(ErrorCode::network, "{}: expected an answer of at most {} bytes, got more",
           shown_url(response.url), limit);
    response.body.append(reinterpret_cast<const char*>(piece.data()), std::min(piece.size(), room));
  }
};

size_t on_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  try {
    transfer.take_header_line({data, size * count});
    return size * count;
  } catch (...) {  // exceptions must not pass through curl
    transfer.exception = std::current_exception();
    return 0;
  }
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  try {
    transfer.take_body(std::as_bytes(std::span(data, size * count)));
    return size * count;
  } catch (...) {
    transfer.exception = std::current_exception();
    return 0;
  }
}

/// Failures that a second attempt repeats.
bool is_hopeless(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT ||
         code == CURLE_SSL_CERTPROBLEM;
}

/// Seconds, or a date (RFC 9110, 10.2.3); nothing if it is neither.
std::optional<int64_t> retry_after_ms(std::string_view value) {
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (error == std::errc() && end == value.data() + value.size())
    return std::clamp<int64_t>(seconds, 0, 1'000'000) * 1000;
  const time_t then = curl_getdate(std::string(value).c_str(), nullptr);
  if (then < 0) return {};
  return std::clamp<int64_t>(then - std::time(nullptr), 0, 1'000'000) * 1000;
}

}  // namespace

struct HttpClient::Handles {
  CURL* easy = nullptr;
  CURLM* multi = nullptr;

  Handles() {
    require_curl();
    easy = curl_easy_init();
    multi = curl_multi_init();
    if (!easy || !multi) fail(ErrorCode::out_of_memory_host, "libcurl cannot make a connection");
  }
  ~Handles() {
    curl_easy_cleanup(easy);
    curl_multi_cleanup(multi);
  }
};

HttpClient::HttpClient(const HttpOptions& options, const CancelToken& cancel)
    : options_(options), cancel_(cancel), handles_(std::make_unique<Handles>()) {}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::send(const HttpRequest& request,
                              const std::function<BodySink(const HttpResponse&)>& choose) {
  HttpRequest current = request;
  bool with_token = !request.token.empty() && Url(request.url).may_carry_token();
  for (int redirects = 0;; ++redirects) {
    HttpResponse response = send_once(current, with_token, choose);
    const std::string location(response.header("location"));
    if (!response.complete() || !is_redirect(response.status) || location.empty()) return response;
    if (redirects == options_.max_redirects)
      fail(ErrorCode::network, "{}: expected at most {} redirects, got more",
           shown_url(request.url), redirects);
    const Url here(current.url), next = here.resolve(location);
    if (here.is_secure() && !next.is_secure())
      fail(ErrorCode::network, "{}: expected a redirect to https, got one to {}", here.shown(),
           next.shown());
    // Once the token's origin is left, it does not come back.
    with_token = with_token && next.origin() == here.origin();
    current.url = next.text();
  }
}

HttpResponse HttpClient::send_once(const HttpRequest& request, bool with_token,
                                   const std::function<BodySink(const HttpResponse&)>& choose) {
  cancel_.check();
  CURL* easy = handles_->easy;
  curl_easy_reset(easy);
  Transfer transfer{.options = options_, .choose = choose};
  transfer.response.url = request.url;
  transfer.response.has_token = with_token;

  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> lines(nullptr, curl_slist_free_all);
  const auto add_line = [&](const std::string& line) {
    if (curl_slist* longer = curl_slist_append(lines.get(), line.c_str())) {
      (void)lines.release();
      lines.reset(longer);
    } else {
      throw std::bad_alloc();
    }
  };
  for (const std::string& line : request.headers) add_line(line);
  add_line("Accept-Encoding: identity");
  if (with_token) add_line("Authorization: Bearer " + request.token);

  std::array<char, CURL_ERROR_SIZE> message = {};
  const std::string agent = fmt::format("fluxq/{}", version());
  const std::string certificates = certificate_file();
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lines.get());
  curl_easy_setopt(easy, CURLOPT_USERAGENT, agent.c_str());
  curl_easy_setopt(easy, CURLOPT_NOBODY, request.method == "HEAD" ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options_.connect_timeout_ms));
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message.data());
  if (!certificates.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, certificates.c_str());

  CURLM* multi = handles_->multi;
  if (const CURLMcode code = curl_multi_add_handle(multi, easy); code != CURLM_OK)
    fail(ErrorCode::internal, "libcurl: {}", curl_multi_strerror(code));
  struct Removal {
    CURLM* multi;
    CURL* easy;
    ~Removal() { curl_multi_remove_handle(multi, easy); }
  } removal{multi, easy};

  Clock::time_point window_begin = Clock::now();
  uint64_t window_bytes = 0;
  for (int running = 1; running > 0;) {
    CURLMcode code = curl_multi_perform(multi, &running);
    if (code == CURLM_OK && running > 0)
      code = curl_multi_poll(multi, nullptr, 0, kPollMs, nullptr);
    if (code != CURLM_OK) fail(ErrorCode::internal, "libcurl: {}", curl_multi_strerror(code));
    if (running == 0) break;
    cancel_.check();
    if (Clock::now() - window_begin < std::chrono::milliseconds(options_.window_ms)) continue;
    if (transfer.bytes - window_bytes < static_cast<uint64_t>(options_.min_bytes_per_window)) {
      transfer.response.trouble =
          fmt::format("only {} bytes came in {:.3g} s", transfer.bytes - window_bytes,
                      static_cast<double>(options_.window_ms) / 1000);
      return std::move(transfer.response);
    }
    window_begin = Clock::now();
    window_bytes = transfer.bytes;
  }
  if (transfer.exception) std::rethrow_exception(transfer.exception);
  int left = 0;
  const CURLMsg* done = curl_multi_info_read(multi, &left);
  const CURLcode result = done ? done->data.result : CURLE_OK;
  if (result != CURLE_OK) {
    const std::string why = message[0] ? message.data() : curl_easy_strerror(result);
    if (is_hopeless(result)) fail(ErrorCode::network, "{}: {}", shown_url(request.url), why);
    transfer.response.trouble = why;
  }
  return std::move(transfer.response);
}

HttpResponse HttpClient::send_with_retries(const HttpRequest& request) {
  Retries retries(options_, cancel_);
  for (;;) {
    HttpResponse response = send(request);
    if (!Retries::is_temporary(response)) return response;
    retries.wait(response, shown_url(request.url));
  }
}

std::string_view HttpResponse::header(std::string_view name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : found->second;
}

bool Retries::is_temporary(const HttpResponse& response) {
  constexpr std::array kTemporary = {408, 425, 429, 500, 502, 503, 504};
  return !response.complete() ||
         std::find(kTemporary.begin(), kTemporary.end(), response.status) != kTemporary.end();
}

void Retries::wait(const HttpResponse& response, std::string_view what) {
  if (++failures_ >= options_.attempts)
    fail(ErrorCode::network, "{}: {} attempts failed, the last one with: {}", what, failures_,
         describe(response));
  int64_t wait_ms = std::min(options_.first_wait_ms << std::min(failures_ - 1, 16), kMaxWaitMs);
  if (const auto asked_ms = retry_after_ms(response.header("retry-after"))) {
    if (*asked_ms > options_.max_retry_after_ms)
      fail(ErrorCode::network, "{}: {}; the server asks to try again in {} s", what,
           describe(response), *asked_ms / 1000);
    wait_ms = std::max(wait_ms, *asked_ms);
  }
  if (options_.sleep) return options_.sleep(wait_ms);
  const Clock::time_point end = Clock::now() + std::chrono::milliseconds(wait_ms);
  while (Clock::now() < end) {
    cancel_.check();
    std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs / 2));
  }
}

std::string describe(const HttpResponse& response) {
  if (!response.complete()) return response.trouble;
  return fmt::format("status {}", response.status);
}

}  // namespace fluxq
