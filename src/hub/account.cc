#include "hub/account.h"

#include "base/error.h"
#include "base/json.h"
#include "base/text.h"

namespace fluxq {

std::string account_name(HttpClient& client, const HubAccess& access) {
  const std::string url = access.endpoint + "/api/whoami-v2";
  const HttpResponse response = client.send_with_retries({.url = url, .token = access.token});
  if (response.status == 401 || response.status == 403)
    fail(ErrorCode::network, "{} does not accept this token{}", access.endpoint,
         response.has_token ? "" : " (it was not sent, because the connection is not encrypted)");
  if (response.status != 200)
    fail(ErrorCode::network, "{}: expected an answer, got {}", url, describe(response));
  try {
    const std::string name =
        require_string(parse_json(response.body, url, {.depth = 32}), "name", url);
    return has_control_character(name) ? in_quotes(name) : name;
  } catch (const Error& error) {
    throw Error(ErrorCode::network, error.what());
  }
}

void check_readable(HttpClient& client, const HubAccess& access, const HubName& name) {
  // The page of a gated model is open to everyone; its files are not.
  const std::string url = fmt::format("{}/{}/resolve/{}/model_index.json", access.endpoint,
                                      url_quote(name.repo, true), url_quote(name.revision));
  const HttpResponse response =
      client.send_with_retries({.url = url, .method = "HEAD", .token = access.token});
  if (response.status >= 400) fail_access(response, access, name);
}

}  // namespace fluxq
