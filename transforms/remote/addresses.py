"""Which addresses of the network a fetch may reach: none of this machine's own network unless that is allowed.

An address in a manifest is written by others. Without this check it could name a service behind the firewall, or the
metadata server of a cloud machine, and what that answers would end up in the index.
"""

import ipaddress
import socket

from transforms.errors import RemoteRefused
from transforms.remote.store import Broken

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Metadata servers and link-local addresses: never, whatever is allowed.
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128", "fd20:ce::254/128", "100.100.100.200/32")
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


def checked_addresses(host: str, port: int, *, allow_private: bool) -> list[str]:
    """The addresses of a host, all of them checked: who connects takes these and asks no name server again.

    Raises RemoteRefused for a private address, Broken where the name cannot be looked up now.
    """
    try:
        answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise Broken(f"the host {host} is not found: {error.strerror}") from error
    except UnicodeError as error:
        raise RemoteRefused(f"this is not the name of a host: {host!r}") from error
    found = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
    for text in found:
        address = ipaddress.ip_address(text.partition("%")[0])
        for one in (address, *_inside(address)):
            _check(host, one, allow_private)
    return found


def _check(host: str, address: Address, allow_private: bool) -> None:
    if any(address in network for network in _NEVER):
        raise RemoteRefused(f"{host} is {address}, a link-local or metadata address; these are never fetched from")
    if allow_private:
        return
    if not address.is_global or address.is_multicast:
        raise RemoteRefused(
            f"{host} is {address}, an address of a private network; "
            "allow these with --allow-private-addresses if you trust every address that is listed"
        )


def _inside(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if address.version == 4:
        return []
    inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inside.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in inside if one is not None]
