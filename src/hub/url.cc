#include "hub/url.h"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <memory>
#include <optional>

#include "base/error.h"

namespace fluxq {
namespace {

using Handle = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

Handle new_handle() {
  Handle handle(curl_url(), curl_url_cleanup);
  if (!handle) throw std::bad_alloc();
  return handle;
}

/// Empty if the URL has no such part.
std::string part_of(CURLU* handle, CURLUPart part, unsigned flags = 0) {
  char* value = nullptr;
  if (curl_url_get(handle, part, &value, flags) != CURLUE_OK) return {};
  std::string text = value;
  curl_free(value);
  return text;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace

Url::Url(const std::string& text) {
  const Handle handle = new_handle();
  if (curl_url_set(handle.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK)
    fail(ErrorCode::bad_argument, "expected an http or https URL, got another form");
  const std::string scheme = lower(part_of(handle.get(), CURLUPART_SCHEME));
  const std::string host = lower(part_of(handle.get(), CURLUPART_HOST));
  if ((scheme != "http" && scheme != "https") || host.empty())
    fail(ErrorCode::bad_argument, "expected an http or https URL, got one with \"{}:\"", scheme);
  // Names and passwords in a URL would end up in messages.
  if (!part_of(handle.get(), CURLUPART_USER).empty() ||
      !part_of(handle.get(), CURLUPART_PASSWORD).empty())
    fail(ErrorCode::bad_argument, "expected a URL without user and password, got one with them");
  text_ = part_of(handle.get(), CURLUPART_URL);
  origin_ = fmt::format("{}://{}:{}", scheme, host,
                        part_of(handle.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
  const std::string port = part_of(handle.get(), CURLUPART_PORT);
  shown_ = fmt::format("{}://{}{}{}{}", scheme, host, port.empty() ? "" : ":", port,
                       part_of(handle.get(), CURLUPART_PATH));
  secure_ = scheme == "https";
  in_addr address = {};
  local_ = host == "localhost" || host == "[::1]" ||
           (::inet_pton(AF_INET, host.c_str(), &address) == 1 && host.starts_with("127."));
}

Url Url::resolve(const std::string& location) const {
  const Handle handle = new_handle();
  if (curl_url_set(handle.get(), CURLUPART_URL, text_.c_str(), 0) != CURLUE_OK ||
      curl_url_set(handle.get(), CURLUPART_URL, location.c_str(), 0) != CURLUE_OK)
    fail(ErrorCode::network, "{}: expected a redirect to a URL, got another form", shown_);
  try {
    return Url(part_of(handle.get(), CURLUPART_URL));
  } catch (const Error& error) {
    fail(ErrorCode::network, "{}: redirect: {}", shown_, error.what());
  }
}

std::string shown_url(const std::string& url) {
  try {
    return Url(url).shown();
  } catch (const Error&) {
    return "(no URL)";
  }
}

std::string url_quote(std::string_view text, bool keep_slashes) {
  std::string quoted;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos ||
                       (c == '/' && keep_slashes);
    quoted += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return quoted;
}

}  // namespace fluxq
