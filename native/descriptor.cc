#include "descriptor.h"

#include <unistd.h>

#include <cerrno>
#include <map>
#include <mutex>

#include "arguments.h"

namespace latchway {
namespace {

// State of the process, as descriptors are; never of one environment. An environment is known by its address.
std::mutex owners_mutex;
std::map<int, napi_env> owners;

void end_environment(void* env) {
  const std::lock_guard<std::mutex> lock(owners_mutex);
  for (auto entry = owners.begin(); entry != owners.end();) {
    if (entry->second == env) {
      close(entry->first);
      entry = owners.erase(entry);
    } else {
      ++entry;
    }
  }
}

}  // namespace

bool register_environment(napi_env env) { return napi_add_env_cleanup_hook(env, end_environment, env) == napi_ok; }

void own_descriptor(napi_env env, int fd) {
  const std::lock_guard<std::mutex> lock(owners_mutex);
  owners[fd] = env;
}

napi_value close_descriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  if (!arguments.valid()) return make_integer(env, -EINVAL);
  // Closed under the lock: another thread that opens must not be given the number before it is forgotten here.
  const std::lock_guard<std::mutex> lock(owners_mutex);
  if (owners.erase(fd) == 0) return make_integer(env, -EBADF);
  return make_integer(env, close(fd) == 0 || errno == EINTR ? 0 : -errno);
}

napi_value adopt_descriptor(napi_env env, napi_callback_info info) {
  Arguments arguments(env, info);
  const int fd = arguments.integer(0);
  if (!arguments.valid()) return make_integer(env, -EINVAL);
  const std::lock_guard<std::mutex> lock(owners_mutex);
  const auto entry = owners.find(fd);
  if (entry == owners.end()) return make_integer(env, -EBADF);
  entry->second = env;
  return make_integer(env, 0);
}

}  // namespace latchway
