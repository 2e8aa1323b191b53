// AES-256-GCM of one datagram, by the OpenSSL inside Node (EVP, stable from Node 17 on).
#include <openssl/evp.h>

#include <cerrno>

#include "arguments.h"
#include "verbs.h"

namespace latchway {
namespace {

constexpr size_t kKeySize = 32;
constexpr size_t kNonceSize = 12;
constexpr int kTagSize = 16;

// A context of the thread, so that a datagram costs no allocation and no look-up of the algorithm. It keeps nothing from
// one call to the next: each sets key and nonce.
class Context {
 public:
  explicit Context(bool seals) : context_(EVP_CIPHER_CTX_new()), seals_(seals) {
    ready_ = context_ != nullptr &&
             EVP_CipherInit_ex(context_, EVP_aes_256_gcm(), nullptr, nullptr, nullptr, seals ? 1 : 0) == 1;
  }
  ~Context() { EVP_CIPHER_CTX_free(context_); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  bool begin(const uint8_t* key, const uint8_t* nonce) {
    return ready_ && EVP_CipherInit_ex(context_, nullptr, nullptr, key, nonce, seals_ ? 1 : 0) == 1;
  }
  // `into` is nullptr for what is authenticated only.
  bool add(uint8_t* into, const uint8_t* from, size_t size) {
    int done = 0;
    return size == 0 || EVP_CipherUpdate(context_, into, &done, from, static_cast<int>(size)) == 1;
  }
  // Opening, false when the tag that was set does not fit.
  bool end() {
    uint8_t nothing[EVP_MAX_BLOCK_LENGTH];
    int done = 0;
    return EVP_CipherFinal_ex(context_, nothing, &done) == 1;
  }
  bool tag(int what, uint8_t* bytes) { return EVP_CIPHER_CTX_ctrl(context_, what, kTagSize, bytes) == 1; }

 private:
  EVP_CIPHER_CTX* context_;
  bool seals_;
  bool ready_;
};

// Header, which is authenticated, ciphertext of the text's size, tag.
struct Datagram {
  View<uint8_t> key;
  View<uint8_t> nonce;
  View<uint8_t> bytes;
  View<uint8_t> text;
  size_t header;

  explicit Datagram(Arguments* arguments)
      : key(arguments->bytes(0)),
        nonce(arguments->bytes(1)),
        bytes(arguments->bytes(2)),
        text(arguments->bytes(3)),
        header(arguments->natural(4)) {}

  bool fits() const {
    return key.size == kKeySize && nonce.size == kNonceSize && bytes.size <= INT32_MAX && header <= bytes.size &&
           bytes.size - header >= kTagSize && text.size == bytes.size - header - kTagSize;
  }
  uint8_t* sealed() const { return bytes.data + header; }
  uint8_t* tag() const { return bytes.data + header + text.size; }
};

}  // namespace

// aeadSeal(key, nonce, bytes, text, header) -> 0 or -errno
napi_value aead_seal(napi_env env, napi_callback_info info) {
  static thread_local Context context(true);
  Arguments arguments(env, info);
  const Datagram to(&arguments);
  if (!arguments.valid() || !to.fits()) return make_integer(env, -EINVAL);
  const bool done = context.begin(to.key.data, to.nonce.data) && context.add(nullptr, to.bytes.data, to.header) &&
                    context.add(to.sealed(), to.text.data, to.text.size) && context.end() &&
                    context.tag(EVP_CTRL_AEAD_GET_TAG, to.tag());
  return make_integer(env, done ? 0 : -EIO);
}

// aeadOpen(key, nonce, bytes, text, header) -> 0 or -errno (EBADMSG: the tag does not fit)
napi_value aead_open(napi_env env, napi_callback_info info) {
  static thread_local Context context(false);
  Arguments arguments(env, info);
  const Datagram from(&arguments);
  if (!arguments.valid() || !from.fits()) return make_integer(env, -EINVAL);
  const bool done = context.begin(from.key.data, from.nonce.data) &&
                    context.tag(EVP_CTRL_AEAD_SET_TAG, from.tag()) &&
                    context.add(nullptr, from.bytes.data, from.header) &&
                    context.add(from.text.data, from.sealed(), from.text.size) && context.end();
  return make_integer(env, done ? 0 : -EBADMSG);
}

}  // namespace latchway
