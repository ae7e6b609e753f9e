// Where large CPU tensors live: one stretch of addresses of their own, in huge pages, each block at the lowest place that
// has room. A step allocates and frees the same gigabytes again and again; the C library would either map and clear
// them anew each time or scatter small long-lived blocks among them, so that the next step's do not fit.
//
// Addresses cost nothing, so the system gives more of them than there is memory, and ends the process once they are
// written to. The arena refuses what the memory cannot hold instead: an error can say what to change.

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/util/Exception.h>
#include <sys/mman.h>

#include <map>
#include <mutex>
#include <unordered_map>

namespace {

// Smaller blocks stay with the C library (choice: 64 rows of SmolLM2's residual stream).
constexpr size_t SMALLEST = 64 << 10;
// Ends of blocks; no two tensors share a page.
constexpr size_t PAGE = 4 << 10;

class Arena final : public c10::Allocator {
 public:
  Arena(char *start, size_t bytes, size_t memory, c10::Allocator *rest)
      : start_(start), end_(start + bytes), memory_(memory / PAGE * PAGE), rest_(rest) {
    free_[0] = bytes;
  }

  c10::DataPtr allocate(size_t bytes) override {
    if (bytes < SMALLEST) return rest_->allocate(bytes);
    const std::lock_guard lock(mutex_);
    // In libtorch's words for what the system refuses, which the program looks for. taken_, of whole pages, is never above.
    TORCH_CHECK(bytes <= memory_ - taken_, "DefaultCPUAllocator: can't allocate memory: you tried to allocate ", bytes,
                " bytes; tensors have ", taken_, " of the machine's ", memory_, " bytes");
    const size_t wanted = (bytes + PAGE - 1) / PAGE * PAGE;
    for (auto place = free_.begin(); place != free_.end(); ++place) {
      const auto [offset, size] = *place;
      if (size < wanted) continue;
      free_.erase(place);
      if (size > wanted) free_[offset + wanted] = size - wanted;
      used_[start_ + offset] = wanted;
      taken_ += wanted;
      return {start_ + offset, start_ + offset, &release, c10::Device(c10::DeviceType::CPU)};
    }
    return rest_->allocate(bytes);
  }

  void copy_data(void *to, const void *from, size_t bytes) const override { default_copy_data(to, from, bytes); }

  // For blocks of either kind: those who ask for bare addresses do not say which.
  c10::DeleterFnPtr raw_deleter() const override { return &release; }

  static Arena *instance;

 private:
  static void release(void *block) {
    const auto place = static_cast<char *>(block);
    if (place >= instance->start_ && place < instance->end_)
      instance->free(place);
    else
      instance->rest_->raw_deleter()(block);
  }

  void free(char *block) {
    const std::lock_guard lock(mutex_);
    const auto used = used_.find(block);
    size_t offset = block - start_, size = used->second;
    used_.erase(used);
    taken_ -= size;
    auto next = free_.lower_bound(offset);
    if (next != free_.end() && next->first == offset + size) {
      size += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin()) {
      const auto before = std::prev(next);
      if (before->first + before->second == offset) {
        before->second += size;
        return;
      }
    }
    free_[offset] = size;
  }

  char *const start_, *const end_;
  // Bytes that tensors here may have, and have: whole pages.
  const size_t memory_;
  size_t taken_ = 0;
  c10::Allocator *const rest_;
  std::mutex mutex_;
  std::map<size_t, size_t> free_;
  std::unordered_map<char *, size_t> used_;
};

Arena *Arena::instance = nullptr;

}  // namespace

// From now on large CPU tensors live in a stretch of `bytes` addresses (no memory before it is written to), and have no
// more than `memory` bytes together. False, and everything as it was, where the system does not give so many addresses.
extern "C" bool ts_use_arena(size_t bytes, size_t memory) {
  if (Arena::instance) return true;
  void *start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return false;
  madvise(start, bytes, MADV_HUGEPAGE);
  // Never freed: tensors may outlive everything else.
  Arena::instance = new Arena(static_cast<char *>(start), bytes, memory, c10::GetCPUAllocator());
  c10::SetAllocator(c10::DeviceType::CPU, Arena::instance, /*priority=*/1);
  return true;
}
