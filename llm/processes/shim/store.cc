// torch's TCPStore in five calls: torchrun's agent runs one, and whoever it started finds the others through it.
// `src/store.rs` is the other side.

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>

using c10d::TCPStore;

C10_DECLARE_int(caffe2_log_level);

namespace {

// While it lives c10d logs nothing: its errors, with pages of addresses, are told by whoever called.
struct Silence {
  int before = FLAGS_caffe2_log_level;
  Silence() { FLAGS_caffe2_log_level = c10::GLOG_FATAL; }
  ~Silence() { FLAGS_caffe2_log_level = before; }
};

// No exception may reach Rust: its first line is given instead (for the caller to free), null where all went well.
template <typename F>
char *caught(F body) {
  Silence silence;
  try {
    body();
    return nullptr;
  } catch (const c10::Error &error) {
    return strdup(error.what_without_backtrace());
  } catch (const std::exception &error) {
    return strdup(error.what());
  }
}

}  // namespace

extern "C" {

// Connects, or listens as well; port 0 takes a free one. Fills in the store and its port.
char *ts_store_open(const char *host, uint16_t port, bool listens, int64_t milliseconds, TCPStore **store,
                    uint16_t *found) {
  return caught([&] {
    c10d::TCPStoreOptions options;
    options.port = port;
    options.isServer = listens;
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(milliseconds);
    // On the heap, counted: threads of the store may hold it too.
    auto opened = c10::make_intrusive<TCPStore>(host, options);
    *found = opened->getPort();
    *store = opened.release();
  });
}

char *ts_store_set(TCPStore *store, const char *key, const uint8_t *value, size_t length) {
  return caught([&] { store->set(key, std::vector<uint8_t>(value, value + length)); });
}

// Waits until the key is set. `value` is for the caller to free.
char *ts_store_get(TCPStore *store, const char *key, int64_t milliseconds, uint8_t **value, size_t *length) {
  return caught([&] {
    store->wait({key}, std::chrono::milliseconds(milliseconds));
    auto bytes = store->get(key);
    *value = static_cast<uint8_t *>(malloc(bytes.size() + 1));
    memcpy(*value, bytes.data(), bytes.size());
    *length = bytes.size();
  });
}

// Adds one to a number that begins at 0, and gives the sum.
char *ts_store_count(TCPStore *store, const char *key, int64_t *sum) {
  return caught([&] { *sum = store->add(key, 1); });
}

void ts_store_close(TCPStore *store) { c10::intrusive_ptr<TCPStore>::reclaim(store); }

}  // extern "C"
