// The boundary to JavaScript: arguments checked once, here, and results made. A verb reads all its arguments, asks
// `valid()` once, and trusts them from then on.
#ifndef LATCHWAY_ARGUMENTS_H
#define LATCHWAY_ARGUMENTS_H

#include <node_api.h>

#include <cstddef>
#include <cstdint>

#include "layout.h"

namespace latchway {

// The memory of a typed array. Valid until the verb returns: JavaScript does not run meanwhile.
template <typename T>
struct View {
  T* data = nullptr;
  size_t size = 0;

  // True when entries first to first + count - 1 exist. Cannot overflow.
  bool covers(size_t first, size_t count) const { return first <= size && count <= size - first; }
};

class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info);

  // False for one that was left out at the end.
  bool given(size_t index) const { return index < count_; }
  // Integers in range, nothing else: NaN must not become descriptor 0.
  int32_t integer(size_t index);
  uint32_t natural(size_t index);
  bool boolean(size_t index);
  // A string shorter than `size` bytes, NUL-terminated.
  void text(size_t index, char* into, size_t size);

  View<uint8_t> bytes(size_t index);
  View<int32_t> integers(size_t index);
  View<uint32_t> naturals(size_t index);

  bool valid() const { return valid_; }

 private:
  static constexpr size_t kMax = 12;

  double number(size_t index, double min, double max);
  // napi_get_typedarray_info takes views of a SharedArrayBuffer on every Node; napi_get_arraybuffer_info refuses on 20.
  void* view(size_t index, napi_typedarray_type type, size_t* size);

  napi_env env_;
  napi_value values_[kMax];
  size_t count_ = kMax;
  bool valid_ = true;
};

// The tally of a batch verb (layout.h), written back when it goes out of scope.
struct Tally {
  explicit Tally(View<int32_t> into) : into_(into) {}
  ~Tally();
  Tally(const Tally&) = delete;
  Tally& operator=(const Tally&) = delete;

  void refuse(int error) {
    refused++;
    refused_errno = error;
  }
  // What the verb returns: entries used up, or -errno when it stopped before the first. EAGAIN is no error: 0.
  int32_t result() const;

  int32_t moved = 0;
  int32_t refused = 0;
  int32_t refused_errno = 0;
  int32_t stop_errno = 0;

 private:
  View<int32_t> into_;
};

napi_value make_integer(napi_env env, int32_t value);
napi_value make_natural(napi_env env, uint32_t value);
// Throws an Error with `call` and `errno`; returns nullptr, for `return throw_errno(...)`.
napi_value throw_errno(napi_env env, const char* call, int error);

}  // namespace latchway

#endif
