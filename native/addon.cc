// The native part of Latchway: thin verbs over system calls; all logic is in TypeScript. One binary for every Node from
// 20 (Node-API 8), loadable into any number of worker threads. The surface is documented in src/io/native.ts.
#include <node_api.h>

#include "arguments.h"
#include "descriptor.h"
#include "layout.h"
#include "verbs.h"

namespace latchway {
namespace {

struct Verb {
  const char* name;
  napi_callback callback;
};

constexpr Verb kVerbs[] = {
    {"tunOpen", tun_open},
    {"tunSetOffload", tun_set_offload},
    {"readPackets", read_packets},
    {"writePackets", write_packets},
    {"poll", poll_descriptors},
    {"eventOpen", event_open},
    {"eventWake", event_wake},
    {"eventDrain", event_drain},
    {"monotonicMs", monotonic_ms},
    {"socketOpen", socket_open},
    {"socketOption", socket_option},
    {"socketDevice", socket_device},
    {"socketBind", socket_bind},
    {"socketJoin", socket_join},
    {"socketGroupInterface", socket_group_interface},
    {"socketPort", socket_port},
    {"sendBatch", send_batch},
    {"receiveBatch", receive_batch},
    {"aeadSeal", aead_seal},
    {"aeadOpen", aead_open},
    {"close", close_descriptor},
    {"adopt", adopt_descriptor},
};

napi_value make_layout(napi_env env) {
  napi_value layout;
  if (napi_create_object(env, &layout) != napi_ok) return nullptr;
  const struct {
    const char* name;
    size_t value;
  } numbers[] = {
      {"tallyMoved", kTallyMoved},
      {"tallyRefused", kTallyRefused},
      {"tallyRefusedErrno", kTallyRefusedErrno},
      {"tallyStopErrno", kTallyStopErrno},
      {"tallySize", kTallySize},
      {"pollMax", kPollMax},
      {"partsMax", kPartsMax},
  };
  for (const auto& number : numbers) {
    napi_set_named_property(env, layout, number.name, make_natural(env, static_cast<uint32_t>(number.value)));
  }
  return layout;
}

}  // namespace
}  // namespace latchway

NAPI_MODULE_INIT() {
  using namespace latchway;
  if (!register_environment(env)) {
    napi_throw_error(env, nullptr, "cannot register the environment");
    return nullptr;
  }
  for (const Verb& verb : kVerbs) {
    napi_value callback;
    if (napi_create_function(env, verb.name, NAPI_AUTO_LENGTH, verb.callback, nullptr, &callback) != napi_ok ||
        napi_set_named_property(env, exports, verb.name, callback) != napi_ok) {
      return nullptr;
    }
  }
  napi_set_named_property(env, exports, "layout", make_layout(env));
  napi_set_named_property(env, exports, "socketConstants", socket_constants(env));
  return exports;
}
