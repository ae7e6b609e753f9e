// What tch has no call for, each in a few lines: libtorch's own thread pool, flash attention over documents of
// differing length, CUDA's allocator. `src/shim.rs` is the other side.

#include <ATen/Parallel.h>

extern "C" {

// Calls `body(context, begin, end)` for parts of 0..n on libtorch's own threads: a second pool would fight with it.
void ts_parallel(int64_t n, int64_t grain, void (*body)(const void *, int64_t, int64_t), const void *context) {
  at::parallel_for(0, n, grain, [&](int64_t begin, int64_t end) { body(context, begin, end); });
}

}  // extern "C"
