#include "hub/http.h"

#include <ctime>
#include <thread>

#include "base/test_support.h"
#include "hub/testing.h"
#include "hub/testing_server.h"

namespace fluxq {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::HubEnvironment;
using ::testing::Not;
using testing::ServerReply;
using testing::ServerRequest;
using testing::TestingServer;

const std::string kToken = "hf_secret";

class Http : public ::testing::Test {
 protected:
  Http() : environment_("/") {
    options_.first_wait_ms = 100;
    options_.sleep = [this](int64_t ms) { waits_ms_.push_back(ms); };
  }

  HttpResponse get(const std::string& url) {
    return HttpClient(options_, cancel_).send({.url = url, .token = kToken});
  }
  HttpResponse get_with_retries(const std::string& url) {
    return HttpClient(options_, cancel_).send_with_retries({.url = url});
  }

  HubEnvironment environment_;
  HttpOptions options_;
  CancelToken cancel_;
  std::vector<int64_t> waits_ms_;
};

TEST_F(Http, BringsStatusHeadersAndBody) {
  TestingServer server([](const ServerRequest&) {
    return ServerReply{.status = 404, .headers = {"X-Error-Code:  RepoNotFound "}, .body = "no"};
  });
  HttpClient client(options_, cancel_);
  const HttpResponse response = client.send(
      {.url = server.url() + "/a?b=c", .headers = {"Range: bytes=0-1"}, .token = kToken});
  EXPECT_TRUE(response.complete());
  EXPECT_EQ(response.status, 404);
  EXPECT_EQ(response.header("x-error-code"), "RepoNotFound");
  EXPECT_EQ(response.header("x-none"), "");
  EXPECT_EQ(response.body, "no");
  EXPECT_TRUE(response.has_token);
  const ServerRequest request = server.requests().at(0);
  EXPECT_EQ(request.target, "/a?b=c");
  EXPECT_EQ(request.header("range"), "bytes=0-1");
  EXPECT_EQ(request.header("authorization"), "Bearer " + kToken);
  EXPECT_EQ(request.header("accept-encoding"), "identity");
  EXPECT_THAT(request.header("user-agent"), HasSubstr("fluxq/"));
  EXPECT_EQ(client.send({.url = server.url(), .method = "HEAD"}).body, "");
}

TEST_F(Http, ASinkTakesTheBodyItChose) {
  const std::string body(300'000, 'x');
  TestingServer server([&](const ServerRequest&) { return ServerReply{.body = body}; });
  std::string taken;
  HttpClient client(options_, cancel_);
  const HttpResponse response = client.send({.url = server.url()}, [&](const HttpResponse& head) {
    EXPECT_EQ(head.status, 200);
    return [&](std::span<const std::byte> piece) {
      taken.append(reinterpret_cast<const char*>(piece.data()), piece.size());
    };
  });
  EXPECT_EQ(taken, body);
  EXPECT_EQ(response.body, "");
  EXPECT_FLUXQ_ERROR(client.send({.url = server.url()},
                                 [](const HttpResponse&) -> BodySink {
                                   return [](std::span<const std::byte>) {
                                     fail(ErrorCode::disk_full, "full");
                                   };
                                 }),
                     disk_full, "full");
}

TEST_F(Http, TheTokenStaysAtItsOrigin) {
  std::string first;
  TestingServer other([&](const ServerRequest& request) {
    // And it does not come back after a detour.
    if (request.target == "/detour")
      return ServerReply{.status = 302, .headers = {"Location: " + first + "/end"}};
    return ServerReply{.body = "other"};
  });
  TestingServer server([&](const ServerRequest& request) {
    if (request.target == "/away")
      return ServerReply{.status = 302, .headers = {"Location: " + other.url() + "/x?sig=1"}};
    if (request.target == "/round")
      return ServerReply{.status = 307, .headers = {"Location: " + other.url() + "/detour"}};
    if (request.target == "/same") return ServerReply{.status = 308, .headers = {"Location: end"}};
    return ServerReply{.body = "here"};
  });
  first = server.url();
  EXPECT_EQ(get(first + "/away").body, "other");
  EXPECT_FALSE(other.requests().at(0).has("authorization"));
  EXPECT_EQ(get(first + "/round").body, "here");
  EXPECT_EQ(server.requests().back().target, "/end");
  EXPECT_FALSE(server.requests().back().has("authorization"));
  const HttpResponse same = get(first + "/same");
  EXPECT_EQ(same.url, first + "/end");
  EXPECT_TRUE(server.requests().back().has("authorization"));
}

TEST_F(Http, RedirectsThatLeadNowhereAreErrors) {
  std::string location;
  TestingServer server([&](const ServerRequest&) {
    return ServerReply{.status = 302, .headers = {"Location: " + location}};
  });
  location = "/again";
  EXPECT_FLUXQ_ERROR(get(server.url()), network, "at most 8 redirects");
  for (const char* bad : {"file:///etc/passwd", "ftp://x/y", "http://user:secret@x/", "http://"}) {
    location = bad;
    EXPECT_FLUXQ_ERROR(get(server.url()), network, "redirect");
  }
  EXPECT_THAT(server.requests().size(), 9u + 4u);
}

TEST_F(Http, ACutOrShortBodyIsTrouble) {
  ServerReply reply;
  TestingServer server([&](const ServerRequest&) { return reply; });
  reply = {.body = std::string(1000, 'x'), .cut_after = 10};
  EXPECT_THAT(get(server.url()).trouble, HasSubstr("990 bytes remaining"));
  reply = {.body = "abc", .length_lie = 5};
  EXPECT_FALSE(get(server.url()).complete());
  reply = {.raw = "HTTP/1.1 2"};
  EXPECT_FALSE(get(server.url()).complete());
}

TEST_F(Http, ABodyThatTricklesIsTrouble) {
  options_.window_ms = 150;
  options_.min_bytes_per_window = 8000;
  TestingServer server([&](const ServerRequest& request) {
    if (request.target == "/stall")
      return ServerReply{.body = "abc", .cut_after = 1, .stall_after_cut = true};
    return ServerReply{.body = std::string(1 << 20, 'x'), .pause = std::chrono::milliseconds(50)};
  });
  EXPECT_THAT(get(server.url() + "/stall").trouble, HasSubstr("bytes came in 0.15 s"));
  EXPECT_THAT(get(server.url() + "/slow").trouble, HasSubstr("bytes came in 0.15 s"));
}

TEST_F(Http, TooMuchIsAnError) {
  options_.max_body_bytes = 100;
  ServerReply reply;
  TestingServer server([&](const ServerRequest&) { return reply; });
  reply.body = std::string(100, 'x');
  EXPECT_EQ(get(server.url()).body.size(), 100u);
  reply.body += 'x';
  EXPECT_FLUXQ_ERROR(get(server.url()), network, "at most 100 bytes");
  reply = {.headers = {"X-Long: " + std::string(70'000, 'x')}};
  EXPECT_FLUXQ_ERROR(get(server.url()), network, "headers of at most");
}

TEST_F(Http, NobodyThereIsTrouble) {
  std::string url;
  {
    url = TestingServer([](const ServerRequest&) { return ServerReply{}; }).url();
  }
  const HttpResponse response = get(url);
  EXPECT_EQ(response.status, 0);
  EXPECT_FALSE(response.complete());
  EXPECT_FLUXQ_ERROR(get_with_retries(url), network, "6 attempts failed");
  EXPECT_THAT(waits_ms_, ElementsAre(100, 200, 400, 800, 1600));
}

TEST_F(Http, RetriesWhatMayPass) {
  int count = 0;
  TestingServer server([&](const ServerRequest&) {
    switch (count++) {
      case 0:
        return ServerReply{.status = 503};
      case 1:
        return ServerReply{.status = 429, .headers = {"Retry-After: 7"}};
      case 2:
        return ServerReply{.body = "abc", .cut_after = 1};
      case 3:
        return ServerReply{.status = 500, .headers = {"Retry-After: soon"}};
      default:
        return ServerReply{.body = "done"};
    }
  });
  EXPECT_EQ(get_with_retries(server.url()).body, "done");
  EXPECT_THAT(waits_ms_, ElementsAre(100, 7000, 400, 800));
}

TEST_F(Http, RetryAfterMayBeADateAndHasALimit) {
  std::string after;
  int count = 0;
  TestingServer server([&](const ServerRequest&) {
    if (count++ % 2 == 1) return ServerReply{};
    return ServerReply{.status = 429, .headers = {"Retry-After: " + after}};
  });
  char date[64];
  const time_t then = std::time(nullptr) + 100;
  std::strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", std::gmtime(&then));
  after = date;
  get_with_retries(server.url());
  ASSERT_EQ(waits_ms_.size(), 1u);
  EXPECT_GT(waits_ms_[0], 60'000);
  EXPECT_LE(waits_ms_[0], 100'000);
  after = "Thu, 01 Jan 1970 00:00:01 GMT";
  get_with_retries(server.url());
  EXPECT_EQ(waits_ms_.back(), 100);
  after = "301";
  EXPECT_FLUXQ_ERROR(get_with_retries(server.url()), network, "try again in 301 s");
}

TEST_F(Http, CanBeCancelledInTheMiddle) {
  TestingServer server([&](const ServerRequest&) {
    cancel_.request();
    return ServerReply{.body = "abc", .cut_after = 1, .stall_after_cut = true};
  });
  EXPECT_FLUXQ_ERROR(get(server.url()), cancelled, "interrupted");
  options_.sleep = {};
  EXPECT_FLUXQ_ERROR(get_with_retries(server.url()), cancelled, "interrupted");
}

TEST_F(Http, MessagesHideTokensAndSignatures) {
  TestingServer server([](const ServerRequest&) { return ServerReply{.status = 503}; });
  options_.attempts = 1;
  HttpClient client(options_, cancel_);
  try {
    client.send_with_retries({.url = server.url() + "/a?Signature=abc", .token = kToken});
    ADD_FAILURE() << "expected an error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("/a: 1 attempts failed"));
    EXPECT_THAT(error.what(), Not(HasSubstr("Signature")));
    EXPECT_THAT(error.what(), Not(HasSubstr("secret")));
  }
}

TEST(Url, KnowsItsOriginAndWhoMaySeeAToken) {
  EXPECT_EQ(Url("HTTPS://Hub.co/a?b#c").origin(), "https://hub.co:443");
  EXPECT_EQ(Url("https://hub.co:444/a?b#c").shown(), "https://hub.co:444/a");
  EXPECT_TRUE(Url("https://hub.co").may_carry_token());
  EXPECT_TRUE(Url("http://localhost:1").may_carry_token());
  EXPECT_TRUE(Url("http://127.1.2.3").may_carry_token());
  EXPECT_TRUE(Url("http://[::1]").may_carry_token());
  EXPECT_FALSE(Url("http://hub.co").may_carry_token());
  EXPECT_FALSE(Url("http://127.evil.org").may_carry_token());
  EXPECT_FALSE(Url("http://10.0.0.1").may_carry_token());
  EXPECT_EQ(Url("https://a/b/c").resolve("../d?e").text(), "https://a/d?e");
  EXPECT_EQ(Url("https://a/b").resolve("//c/d").origin(), "https://c:443");
  for (const char* bad : {"", "a/b", "file:///x", "ftp://x", "http://u:p@x", "http://u@x",
                          "javascript:x", "http://a b/"})
    EXPECT_FLUXQ_ERROR(Url(bad), bad_argument, "expected");
  EXPECT_EQ(url_quote("a/b c\xc3\xa4%", true), "a/b%20c%C3%A4%25");
  EXPECT_EQ(url_quote("refs/pr/1"), "refs%2Fpr%2F1");
}

}  // namespace
}  // namespace fluxq
