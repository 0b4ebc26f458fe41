/// GET and HEAD over libcurl, with what a download from strangers needs: redirects are followed
/// here and not by curl, so that a token never reaches a second host; each wait ends (connecting, a
/// body that stalls or trickles); sizes of heads and bodies are bounded; bodies come as they are
/// (no compression is asked for, none is undone). No message of this file contains a token or the
/// query of a URL, which may be a signature.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fluxq/cancel.h"
#include "hub/url.h"

namespace fluxq {

struct HttpOptions {
  int64_t connect_timeout_ms = 15'000;
  /// Each such span of a transfer must bring at least min_bytes_per_window, or end it.
  int64_t window_ms = 30'000;
  int64_t min_bytes_per_window = 30'000;
  int max_redirects = 8;
  uint64_t max_body_bytes = 16 << 20;  ///< of a body that no sink takes
  // Attempts that bring nothing, one after the other, before the work fails; the waits between them
  // double from first_wait_ms to at most 30 s.
  int attempts = 6;
  int64_t first_wait_ms = 500;
  int64_t max_retry_after_ms = 300'000;  ///< a server that asks for more gets an Error
  /// Stands in for sleeping in tests.
  std::function<void(int64_t ms)> sleep = {};
};

struct HttpRequest {
  std::string url;  ///< http or https
  std::string method = "GET";
  std::vector<std::string> headers = {};  ///< "Range: bytes=0-99"
  /// Sent as Bearer to the URL's own origin (scheme, host, port) and to no other, and only over
  /// https or to this machine.
  std::string token = {};
};

struct HttpResponse {
  int status = 0;          ///< 0: no answer at all
  std::string trouble;     ///< not empty: the answer did not come, or not completely, and why
  std::string url;         ///< where it came from, after redirects
  bool has_token = false;  ///< the token was sent to that place
  std::map<std::string, std::string, std::less<>> headers;  ///< names in lower case
  std::string body;                                         ///< if no sink took it

  bool complete() const { return trouble.empty(); }
  /// The value of a header, or empty.
  std::string_view header(std::string_view lower_case_name) const;
};

/// Takes the body piece by piece; what it throws ends the transfer and comes out of send().
using BodySink = std::function<void(std::span<const std::byte>)>;

/// One connection pool for one thread.
class HttpClient {
 public:
  HttpClient(const HttpOptions& options, const CancelToken& cancel);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// One attempt. `choose` sees status and headers of the final answer and says where its body
  /// goes; without it, or if it returns nothing, the body is collected. Errors: cancelled;
  /// bad_argument (a URL of another form); network for what no second attempt mends (a
  /// certificate, a redirect that leads nowhere, a body above the limit). All else is in `trouble`.
  HttpResponse send(const HttpRequest& request,
                    const std::function<BodySink(const HttpResponse& head)>& choose = {});

  /// send() with a collected body, again and again while it is worth it.
  HttpResponse send_with_retries(const HttpRequest& request);

 private:
  struct Handles;
  HttpResponse send_once(const HttpRequest& request, bool with_token,
                         const std::function<BodySink(const HttpResponse&)>& choose);

  HttpOptions options_;
  const CancelToken& cancel_;
  std::unique_ptr<Handles> handles_;
};

/// Waits between attempts.
class Retries {
 public:
  Retries(const HttpOptions& options, const CancelToken& cancel)
      : options_(options), cancel_(cancel) {}

  /// Is it worth another attempt: no complete answer, or 408, 425, 429, 500, 502, 503, 504?
  static bool is_temporary(const HttpResponse& response);
  /// Waits after such an answer, as long as its Retry-After says if it does. Error(network) with
  /// `what` and the answer's trouble if enough attempts were made.
  void wait(const HttpResponse& response, std::string_view what);
  /// An attempt brought something.
  void reset() { failures_ = 0; }

 private:
  const HttpOptions& options_;
  const CancelToken& cancel_;
  int failures_ = 0;
};

/// "status 404" or the trouble, for a message.
std::string describe(const HttpResponse& response);

}  // namespace fluxq
