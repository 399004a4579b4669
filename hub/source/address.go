package source

import (
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// Addresses is the administrator's policy on where sources may be. Link-local addresses and the metadata services of
// clouds, which give credentials to whoever asks, are never allowed.
type Addresses struct {
	// DenyPrivate also refuses loopback, private and carrier-grade NAT ranges.
	DenyPrivate bool
	// Allow are exceptions from DenyPrivate.
	Allow []netip.Prefix
}

// metadata are services of clouds outside of the link-local ranges.
var metadata = []netip.Addr{
	netip.MustParseAddr("100.100.100.200"), // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"),   // Azure's host
	netip.MustParseAddr("192.0.0.192"),     // Oracle Cloud
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd20:ce::254"),    // Google Cloud
}

// Ranges that net/netip has no question for.
var (
	carrierNAT = netip.MustParsePrefix("100.64.0.0/10")
	thisHost   = netip.MustParsePrefix("0.0.0.0/8")
	reserved   = netip.MustParsePrefix("240.0.0.0/4")
	benchmarks = netip.MustParsePrefix("198.18.0.0/15")
	// Addresses of IPv6 that stand for one of IPv4, and where in them it is.
	translated = map[netip.Prefix]int{
		netip.MustParsePrefix("64:ff9b::/96"):   12, // NAT64
		netip.MustParsePrefix("64:ff9b:1::/48"): 12, // local NAT64
		netip.MustParsePrefix("2002::/16"):      2,  // 6to4
		netip.MustParsePrefix("::/96"):          12, // IPv4-compatible
	}
)

// addressError is a connection that the policy forbids: to an address, or to a host that some read as one and others as a
// name.
type addressError struct {
	addr netip.Addr
	host string
}

func (e *addressError) Error() string {
	if e.host != "" {
		return fmt.Sprintf("its host %.100q is a number, which may stand for any address", e.host)
	}
	return fmt.Sprintf("its address %s is not allowed", e.addr)
}

// Check says whether a connection to the address is allowed.
func (a Addresses) Check(addr netip.Addr) error {
	plain := addr.Unmap().WithZone("")
	if a.forbids(plain) {
		return &addressError{addr: addr}
	}
	for prefix, at := range translated {
		if prefix.Contains(plain) && plain != netip.IPv6Loopback() {
			bytes := plain.As16()
			if inner, _ := netip.AddrFromSlice(bytes[at : at+4]); a.forbids(inner) {
				return &addressError{addr: addr}
			}
		}
	}
	return nil
}

func (a Addresses) forbids(addr netip.Addr) bool {
	switch {
	case !addr.IsValid(), addr.IsUnspecified(), addr.IsMulticast(), addr.IsLinkLocalUnicast(), addr.IsInterfaceLocalMulticast(),
		thisHost.Contains(addr), reserved.Contains(addr):
		return true
	}
	for _, service := range metadata {
		if addr == service {
			return true
		}
	}
	if !a.DenyPrivate || !(addr.IsLoopback() || addr.IsPrivate() || carrierNAT.Contains(addr) || benchmarks.Contains(addr)) {
		return false
	}
	for _, prefix := range a.Allow {
		if prefix.Contains(addr) {
			return false
		}
	}
	return true
}

// control is a net.Dialer's Control: it sees the address that a name resolved to, right before the connection.
func (a Addresses) control(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	return a.Check(addr)
}
