"""Moves raw IP packets for the namespace tests; each packet is one line of hex.

tun NAME     opens the TUN device NAME (it disappears with this process): prints what it is given, writes what it reads
sniff NAME   prints the IP packets that arrive at the interface NAME
send         sends the packets that it reads from this host, headers as they are
"""

import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tun(name):
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    say("ready")
    waiting = b""
    while True:
        for ready in select.select([device, 0], [], [])[0]:
            if ready == device:
                say(os.read(device, 65536).hex())
                continue
            read = os.read(0, 65536)
            if not read:
                return
            waiting += read
            *lines, waiting = waiting.split(b"\n")
            for line in lines:
                os.write(device, bytes.fromhex(line.decode()))


def sniff(name):
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    packets.bind((name, 3))
    say("ready")
    while True:
        packet, address = packets.recvfrom(65536)
        if address[2] != 4 and address[1] in (0x0800, 0x86DD):
            say(packet.hex())


def send():
    raw = {4: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255), 6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, 255)}
    raw[6].setsockopt(socket.IPPROTO_IPV6, 36, 1)  # IPV6_HDRINCL
    say("ready")
    for line in sys.stdin:
        packet = bytes.fromhex(line)
        if packet[0] >> 4 == 4:
            raw[4].sendto(packet, (socket.inet_ntoa(packet[16:20]), 0))
        else:
            raw[6].sendto(packet, (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0))


{"tun": tun, "sniff": sniff, "send": send}[sys.argv[1]](*sys.argv[2:])
