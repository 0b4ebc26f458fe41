/// Addresses on the web, taken apart by curl's own parser, so that what is checked is what is
/// asked.
#pragma once

#include <string>
#include <string_view>

namespace fluxq {

/// An absolute http or https URL without user or password.
class Url {
 public:
  /// Error(bad_argument) for text of another form.
  explicit Url(const std::string& text);

  const std::string& text() const { return text_; }
  /// "https://host:443", in lower case.
  const std::string& origin() const { return origin_; }
  bool is_secure() const { return secure_; }
  /// A token may travel: encrypted, or not beyond this machine.
  bool may_carry_token() const { return secure_ || local_; }
  /// Without query and fragment, which may hold signatures: for messages.
  std::string shown() const { return shown_; }
  /// Where a Location header leads. Error(network) if that is no such URL.
  Url resolve(const std::string& location) const;

 private:
  std::string text_, origin_, shown_;
  bool secure_ = false, local_ = false;
};

/// Url(url).shown(), or a stand-in if it is no URL.
std::string shown_url(const std::string& url);

/// `text` with everything but letters, digits and "-._~" (and "/" if `keep_slashes`) as %XX.
std::string url_quote(std::string_view text, bool keep_slashes = false);

}  // namespace fluxq
