// The whole of the library in 20 lines: load a model, make two pictures, write them.
#include <cstdio>

#include "fluxq/engine.h"

int main(int argc, char** argv) {
  try {
    fluxq::Engine engine({.model = argc > 1 ? argv[1] : "emoji-flux"});
    const auto pictures =
        engine.generate({.prompt = argc > 2 ? argv[2] : "red apple", .seed = 7, .batch = 2});
    for (const fluxq::Picture& picture : pictures) {
      const std::string file = "apple-" + std::to_string(picture.info.seed) + ".png";
      fluxq::write_png(file, picture);
      std::printf("%s\n", file.c_str());
    }
  } catch (const fluxq::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return fluxq::error_info(error.code()).exit_status;
  }
}
