#include "arguments.h"

#include <cerrno>
#include <cmath>
#include <cstring>

namespace latchway {

Arguments::Arguments(napi_env env, napi_callback_info info) : env_(env) {
  // Missing arguments come as undefined, which no getter takes.
  if (napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr) != napi_ok) {
    count_ = 0;
    valid_ = false;
  }
}

double Arguments::number(size_t index, double min, double max) {
  double value = 0;
  if (index >= count_ || napi_get_value_double(env_, values_[index], &value) != napi_ok) {
    valid_ = false;
    return 0;
  }
  // Written so that NaN fails.
  if (!(value >= min && value <= max) || value != std::floor(value)) {
    valid_ = false;
    return 0;
  }
  return value;
}

int32_t Arguments::integer(size_t index) { return static_cast<int32_t>(number(index, INT32_MIN, INT32_MAX)); }

uint32_t Arguments::natural(size_t index) { return static_cast<uint32_t>(number(index, 0, UINT32_MAX)); }

bool Arguments::boolean(size_t index) {
  bool value = false;
  if (index >= count_ || napi_get_value_bool(env_, values_[index], &value) != napi_ok) valid_ = false;
  return value;
}

void Arguments::text(size_t index, char* into, size_t size) {
  into[0] = '\0';
  size_t needed = 0;
  if (index >= count_ || napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &needed) != napi_ok ||
      needed >= size) {
    valid_ = false;
    return;
  }
  napi_get_value_string_utf8(env_, values_[index], into, size, &needed);
  // A NUL inside would make the kernel see another name than JavaScript does.
  if (std::strlen(into) != needed) valid_ = false;
}

void* Arguments::view(size_t index, napi_typedarray_type type, size_t* size) {
  *size = 0;
  bool is_view = false;
  if (index >= count_ || napi_is_typedarray(env_, values_[index], &is_view) != napi_ok || !is_view) {
    valid_ = false;
    return nullptr;
  }
  napi_typedarray_type actual;
  void* data = nullptr;
  if (napi_get_typedarray_info(env_, values_[index], &actual, size, &data, nullptr, nullptr) != napi_ok ||
      actual != type) {
    valid_ = false;
    *size = 0;
    return nullptr;
  }
  return data;
}

View<uint8_t> Arguments::bytes(size_t index) {
  View<uint8_t> result;
  result.data = static_cast<uint8_t*>(view(index, napi_uint8_array, &result.size));
  return result;
}

View<int32_t> Arguments::integers(size_t index) {
  View<int32_t> result;
  result.data = static_cast<int32_t*>(view(index, napi_int32_array, &result.size));
  return result;
}

View<uint32_t> Arguments::naturals(size_t index) {
  View<uint32_t> result;
  result.data = static_cast<uint32_t*>(view(index, napi_uint32_array, &result.size));
  return result;
}

Tally::~Tally() {
  if (into_.size < kTallySize) return;
  into_.data[kTallyMoved] = moved;
  into_.data[kTallyRefused] = refused;
  into_.data[kTallyRefusedErrno] = refused_errno;
  into_.data[kTallyStopErrno] = stop_errno;
}

int32_t Tally::result() const {
  const int32_t used = moved + refused;
  if (used > 0 || stop_errno == 0 || stop_errno == EAGAIN) return used;
  return -stop_errno;
}

napi_value make_integer(napi_env env, int32_t value) {
  napi_value result = nullptr;
  napi_create_int32(env, value, &result);
  return result;
}

napi_value make_natural(napi_env env, uint32_t value) {
  napi_value result = nullptr;
  napi_create_uint32(env, value, &result);
  return result;
}

napi_value throw_errno(napi_env env, const char* call, int error) {
  napi_value message, name, error_value;
  if (napi_create_string_utf8(env, std::strerror(error), NAPI_AUTO_LENGTH, &message) != napi_ok ||
      napi_create_string_utf8(env, call, NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_error(env, nullptr, message, &error_value) != napi_ok) {
    return nullptr;
  }
  napi_set_named_property(env, error_value, "call", name);
  napi_set_named_property(env, error_value, "errno", make_integer(env, error));
  napi_throw(env, error_value);
  return nullptr;
}

}  // namespace latchway
