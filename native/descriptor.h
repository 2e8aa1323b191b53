// Who owns which descriptor.
//
// Descriptors are plain integers, because a queue that the main thread opened is read by a worker. One table for the
// process says which environment (main thread or worker) owns each descriptor that this addon opened: the one that
// opened it, until another calls adopt(). When an environment goes, what it still owns is closed. Only descriptors of
// this table can be closed: closing twice, or closing a number that the process has given to something else since, is
// EBADF and harmless.
//
// Order for a descriptor that a worker waits on: wake the worker, let its poll return, let it stop, then close. Closing
// first does not wake a poll, and the number may be reused under it. Node ends the workers of an environment before
// that environment's own clean-up, so what the main thread owns outlives every worker that uses it.
#ifndef LATCHWAY_DESCRIPTOR_H
#define LATCHWAY_DESCRIPTOR_H

#include <node_api.h>

namespace latchway {

// Sees to the end of the calling environment; called once as the addon is loaded into it. False on failure.
bool register_environment(napi_env env);

// Records that the calling environment owns a new descriptor.
void own_descriptor(napi_env env, int fd);

// close(fd) -> 0 or -errno.
napi_value close_descriptor(napi_env env, napi_callback_info info);
// adopt(fd) -> 0 or -EBADF: the calling environment owns it from now on.
napi_value adopt_descriptor(napi_env env, napi_callback_info info);

}  // namespace latchway

#endif
