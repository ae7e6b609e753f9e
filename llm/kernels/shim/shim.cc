// What tch has no call for, each in a few lines: libtorch's own thread pool, flash attention over documents of differing
// length, copies in pinned pages, what CUDA's allocator has counted. `src/shim.rs` is the other side.

#include <ATen/Parallel.h>
#include <ATen/ops/_flash_attention_backward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/zeros.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <cstring>
#include <exception>
#include <optional>

namespace {

// No exception may reach Rust: its message is given instead (for the caller to free), null where all went well.
template <typename F>
char *caught(F body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  }
}

std::optional<int64_t> to_the_left(int64_t window) {
  return window > 0 ? std::optional(window - 1) : std::nullopt;
}

}  // namespace

extern "C" {

// Calls `body(context, begin, end)` for parts of 0..n on libtorch's own threads: a second pool would fight with it.
void ts_parallel(int64_t n, int64_t grain, void (*body)(const void *, int64_t, int64_t), const void *context) {
  at::parallel_for(0, n, grain, [&](int64_t begin, int64_t end) { body(context, begin, end); });
}

// Causal attention within documents: q, k and v are [T, heads, K] on CUDA, `ends` (int32) the documents' cumulative
// lengths from 0 on. A token sees the last `window` ones; all, if that is 0. Fills `results` with out and lse.
char *ts_flash_attention(const at::Tensor *const *qkv, const at::Tensor *ends, int64_t longest, double scale,
                         int64_t window, at::Tensor **results) {
  return caught([&] {
    auto [out, lse, state, unused, mask] = at::_flash_attention_forward(
        *qkv[0], *qkv[1], *qkv[2], *ends, *ends, longest, longest, /*dropout_p=*/0.0, /*is_causal=*/true,
        /*return_debug_mask=*/false, scale, to_the_left(window), 0);
    results[0] = new at::Tensor(out);
    results[1] = new at::Tensor(lse);
  });
}

// The backward pass. `outcome` is the gradient, the result and its lse; fills `results` with dq, dk and dv.
char *ts_flash_attention_backward(const at::Tensor *const *outcome, const at::Tensor *const *qkv,
                                  const at::Tensor *ends, int64_t longest, double scale, int64_t window,
                                  at::Tensor **results) {
  return caught([&] {
    // The random numbers' state: without dropout nobody reads it.
    auto state = at::zeros({2}, qkv[0]->options().dtype(at::kUInt64));
    auto [dq, dk, dv] = at::_flash_attention_backward(
        *outcome[0], *qkv[0], *qkv[1], *qkv[2], *outcome[1], outcome[2]->contiguous(), *ends, *ends, longest,
        longest, /*dropout_p=*/0.0, /*is_causal=*/true, state, state, scale, to_the_left(window), 0);
    results[0] = new at::Tensor(dq);
    results[1] = new at::Tensor(dk);
    results[2] = new at::Tensor(dv);
  });
}

// A copy in pages that stay where they are. tch's call names a device, of which libtorch warns.
char *ts_pinned(const at::Tensor *numbers, at::Tensor **result) {
  return caught([&] { *result = new at::Tensor(numbers->pin_memory()); });
}

// Bytes of a CUDA device's memory: what the allocator holds, what tensors have of it, and the most that they have had at a
// time. Asked through the interface that all devices' allocators have, so that nothing of CUDA is linked; a libtorch
// without CUDA has no such allocator, and says so.
char *ts_device_bytes(int8_t device, int64_t *bytes) {
  return caught([&] {
    const auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    const auto stats = c10::getDeviceAllocator(c10::kCUDA)->getDeviceStats(device);
    bytes[0] = stats.reserved_bytes[all].current;
    bytes[1] = stats.allocated_bytes[all].current;
    bytes[2] = stats.allocated_bytes[all].peak;
  });
}

}  // extern "C"
