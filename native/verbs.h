// The verbs that addon.cc exports; src/io/native.ts documents each for its callers.
#ifndef LATCHWAY_VERBS_H
#define LATCHWAY_VERBS_H

#include <node_api.h>

namespace latchway {

// aead.cc
napi_value aead_seal(napi_env env, napi_callback_info info);
napi_value aead_open(napi_env env, napi_callback_info info);
// tun.cc
napi_value tun_open(napi_env env, napi_callback_info info);
napi_value tun_set_offload(napi_env env, napi_callback_info info);
// packet.cc
napi_value read_packets(napi_env env, napi_callback_info info);
napi_value write_packets(napi_env env, napi_callback_info info);
// wait.cc
napi_value poll_descriptors(napi_env env, napi_callback_info info);
napi_value event_open(napi_env env, napi_callback_info info);
napi_value event_wake(napi_env env, napi_callback_info info);
napi_value event_drain(napi_env env, napi_callback_info info);
napi_value monotonic_ms(napi_env env, napi_callback_info info);
// socket.cc
napi_value socket_open(napi_env env, napi_callback_info info);
napi_value socket_option(napi_env env, napi_callback_info info);
napi_value socket_device(napi_env env, napi_callback_info info);
napi_value socket_bind(napi_env env, napi_callback_info info);
napi_value socket_join(napi_env env, napi_callback_info info);
napi_value socket_group_interface(napi_env env, napi_callback_info info);
napi_value socket_port(napi_env env, napi_callback_info info);
napi_value socket_constants(napi_env env);
// datagram.cc
napi_value send_batch(napi_env env, napi_callback_info info);
napi_value receive_batch(napi_env env, napi_callback_info info);

}  // namespace latchway

#endif
