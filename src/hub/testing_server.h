/// A small HTTP/1.1 server on 127.0.0.1 for tests, which can misbehave in all the ways that a
/// download must survive: each answer is made by a function of the test.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace fluxq::testing {

struct ServerRequest {
  std::string method, target;                  ///< "GET", "/path?query"
  std::map<std::string, std::string> headers;  ///< names in lower case

  bool has(const std::string& name) const { return headers.count(name) > 0; }
  std::string header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct ServerReply {
  int status = 200;
  std::vector<std::string> headers = {};  ///< "ETag: \"x\""; Content-Length is added
  std::string body = {};
  // Ways to misbehave.
  size_t cut_after = std::string::npos;  ///< closes the connection after so many body bytes
  bool stall_after_cut = false;          ///< keeps it open instead and sends nothing more
  int64_t length_lie = 0;                ///< added to Content-Length
  std::string raw = {};                  ///< sent instead of all of it, then closed
  std::chrono::milliseconds pause{0};    ///< before each 1 KiB of the body
};

class TestingServer {
 public:
  using Handler = std::function<ServerReply(const ServerRequest&)>;

  explicit TestingServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || ::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
        ::getsockname(listener_, generic, &size) != 0)
      throw std::runtime_error("cannot listen on 127.0.0.1");
    port_ = ::ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }

  ~TestingServer() {
    stop_ = true;
    acceptor_.join();
    ::close(listener_);
    for (Connection& connection : connections_) {
      connection.thread.join();
      ::close(connection.socket);
    }
  }
  TestingServer(const TestingServer&) = delete;
  TestingServer& operator=(const TestingServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }

  /// All requests so far, in the order of arrival.
  std::vector<ServerRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  struct Connection {
    int socket = -1;
    std::thread thread;
  };

  /// Waits for something to read, or for the end of the server.
  bool wait_readable(int socket) const {
    while (!stop_) {
      pollfd entry = {.fd = socket, .events = POLLIN, .revents = 0};
      if (::poll(&entry, 1, 5) > 0) return true;
    }
    return false;
  }

  void accept_all() {
    while (wait_readable(listener_)) {
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (socket < 0) continue;
      const int on = 1;
      ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      connections_.push_back({.socket = socket, .thread = {}});
      connections_.back().thread = std::thread([this, socket] { serve(socket); });
    }
  }

  void serve(int socket) {
    std::string input;
    while (true) {
      const size_t end = input.find("\r\n\r\n");
      if (end != std::string::npos) {
        const ServerRequest request = parse(input.substr(0, end + 2));
        input.erase(0, end + 4);
        {
          const std::lock_guard lock(mutex_);
          requests_.push_back(request);
        }
        if (!answer(socket, request, handler_(request))) break;
        continue;
      }
      char buffer[4096];
      const ssize_t count = wait_readable(socket) ? ::recv(socket, buffer, sizeof buffer, 0) : 0;
      if (count <= 0) break;
      input.append(buffer, static_cast<size_t>(count));
    }
    ::shutdown(socket, SHUT_RDWR);
  }

  static ServerRequest parse(const std::string& head) {
    ServerRequest request;
    const size_t line_end = head.find("\r\n");
    const size_t first = head.find(' '), second = head.find(' ', first + 1);
    request.method = head.substr(0, first);
    request.target = head.substr(first + 1, second - first - 1);
    for (size_t begin = line_end + 2; begin < head.size();) {
      const size_t end = head.find("\r\n", begin), colon = head.find(':', begin);
      std::string name = head.substr(begin, colon - begin);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers[name] = head.substr(colon + 2, end - colon - 2);
      begin = end + 2;
    }
    return request;
  }

  static bool send_all(int socket, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }

  /// False: the connection ends.
  bool answer(int socket, const ServerRequest& request, const ServerReply& reply) const {
    if (!reply.raw.empty()) {
      send_all(socket, reply.raw);
      return false;
    }
    std::string head = "HTTP/1.1 " + std::to_string(reply.status) + " x\r\n";
    for (const std::string& line : reply.headers) head += line + "\r\n";
    head += "Content-Length: " +
            std::to_string(static_cast<int64_t>(reply.body.size()) + reply.length_lie) + "\r\n\r\n";
    if (!send_all(socket, head)) return false;
    if (request.method == "HEAD") return true;
    const std::string_view body = std::string_view(reply.body).substr(0, reply.cut_after);
    const size_t step = reply.pause.count() > 0 ? 1024 : std::max<size_t>(body.size(), 1);
    for (size_t begin = 0; begin < body.size(); begin += step) {
      if (stop_) return false;
      std::this_thread::sleep_for(reply.pause);
      if (!send_all(socket, body.substr(begin, step))) return false;
    }
    if (reply.stall_after_cut) wait_readable(socket);  // until the client has enough
    return reply.cut_after >= reply.body.size() && reply.length_lie == 0;
  }

  Handler handler_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::thread acceptor_;
  std::list<Connection> connections_;
  mutable std::mutex mutex_;
  std::vector<ServerRequest> requests_;
};

}  // namespace fluxq::testing
