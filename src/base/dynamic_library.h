/// A shared library that a machine may have or not, loaded at run time.
#pragma once

#include <string>
#include <utility>

namespace fluxq {

/// Owns a handle of dlopen(). Moves, never copies.
class DynamicLibrary {
 public:
  DynamicLibrary() = default;
  /// `name`: "libnvidia-ml.so.1", looked for where the system's loader looks, or a path. Never
  /// fails: a library that cannot be loaded is one that does not exist.
  explicit DynamicLibrary(const std::string& name);
  DynamicLibrary(DynamicLibrary&& other) noexcept
      : handle_(std::exchange(other.handle_, nullptr)) {}
  DynamicLibrary& operator=(DynamicLibrary&& other) noexcept;
  ~DynamicLibrary();

  explicit operator bool() const { return handle_ != nullptr; }
  /// What the loader said when it did not work.
  const std::string& trouble() const { return trouble_; }
  /// The file that was loaded, or empty.
  std::string path() const;

  /// The function of that name as a pointer of the type of `function`, which is set; false and a
  /// null pointer if the library does not have it.
  template <typename Result, typename... Args>
  bool find(const char* name, Result (*&function)(Args...)) const {
    function = reinterpret_cast<Result (*)(Args...)>(symbol(name));
    return function != nullptr;
  }

 private:
  void* symbol(const char* name) const;

  void* handle_ = nullptr;
  std::string trouble_;
};

}  // namespace fluxq
