// The GPU's kernels compiled for this processor, one thread a block: for tests of their formulas without a GPU. Not
// part of any program: nothing else names what is defined here.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <utility>

#define ONE_THREAD
#define __device__
#define __global__
#define __shared__
#define __syncthreads()

namespace {

struct Index {
  uint32_t x;
};
thread_local Index blockIdx{0};
const Index threadIdx{0}, blockDim{1};

struct float4 {
  float x, y, z, w;
};
struct uint4 {
  uint32_t x, y, z, w;
};
float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w) { return {x, y, z, w}; }

float __uint_as_float(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
uint32_t __float_as_uint(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

using std::exp, std::log;

}  // namespace

#include "../src/cuda/kernels.cu"

namespace {

template <typename... A, size_t... I>
void run(void (*kernel)(A...), uint32_t blocks, void *const *arguments, std::index_sequence<I...>) {
  for (blockIdx.x = 0; blockIdx.x < blocks; blockIdx.x++) kernel(*static_cast<A *>(arguments[I])...);
}

template <typename... A>
void run(void (*kernel)(A...), uint32_t blocks, void *const *arguments) {
  run(kernel, blocks, arguments, std::index_sequence_for<A...>());
}

}  // namespace

// As `cuLaunchKernel`, by name. False where there is no such kernel.
extern "C" bool ts_cuda_on_cpu(const char *name, uint32_t blocks, void *const *arguments) {
#define KERNEL(kernel) \
  if (!std::strcmp(name, #kernel)) return run(kernel, blocks, arguments), true;
  KERNEL(rms_norm)
  KERNEL(rms_norm_backward)
  KERNEL(gated)
  KERNEL(gated_backward)
  KERNEL(rope)
  KERNEL(dropout)
  KERNEL(nf4)
  KERNEL(take_up)
  KERNEL(attend_held)
  KERNEL(head_statistics)
  KERNEL(head_gradient)
  return false;
}
