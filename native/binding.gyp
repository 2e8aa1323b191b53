{
  "targets": [
    {
      "target_name": "latchway",
      "sources": ["addon.cc", "aead.cc", "arguments.cc", "datagram.cc", "descriptor.cc", "packet.cc", "socket.cc", "tun.cc", "wait.cc"],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"],
      "cflags_cc": ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"],
    }
  ]
}
