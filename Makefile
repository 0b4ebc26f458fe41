# Thin: each target is one line over the CMake presets and scripts/. `make demo` and `make test` need nothing but Debian.
.PHONY: demo test build gpu-test gpu-sanitize coverage format check-format fuzz clean

demo:
	scripts/demo.sh

test:
	scripts/test.sh

build:
	scripts/install_dependencies.sh build && cmake --preset release -DFLUXQ_TESTS=OFF && cmake --build --preset release

gpu-test:
	scripts/gpu_test.sh

gpu-sanitize:
	scripts/gpu_sanitize.sh

coverage:
	scripts/coverage.sh

format:
	scripts/format.sh fix

check-format:
	scripts/format.sh check

fuzz:
	scripts/install_dependencies.sh fuzz && scripts/fuzz.sh

clean:
	rm -rf build
