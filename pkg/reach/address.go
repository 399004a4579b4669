package reach

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
)

// Addresses is the administrator's policy on where upstreams may be. Link-local addresses and the metadata services of
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
	netip.MustParseAddr("fd00:ec2::23"),    // AWS, identities of pods
	netip.MustParseAddr("fd20:ce::254"),    // Google Cloud
	netip.MustParseAddr("fd00:42::42"),     // Scaleway
}

// Ranges that net/netip has no question for: where nothing can be, and what networks have for themselves.
var (
	nowhere = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),   // this host
		netip.MustParsePrefix("240.0.0.0/4"), // reserved
	}
	private = []netip.Prefix{
		netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT
		netip.MustParsePrefix("198.18.0.0/15"), // benchmarks
		netip.MustParsePrefix("192.0.0.0/24"),  // protocols', DS-Lite for one
		netip.MustParsePrefix("fec0::/10"),     // site-local
	}
)

// Refusal is a connection that the policy forbids: to an address, or to a host that some read as one and others as a name.
type Refusal struct {
	Addr netip.Addr
	Host string
}

func (e *Refusal) Error() string {
	if e.Host != "" {
		return fmt.Sprintf("its host %.100q is a number, which may stand for any address", e.Host)
	}
	return fmt.Sprintf("its address %s is not allowed", e.Addr)
}

// Check says whether a connection to the address is allowed. One of IPv6 that stands for one of IPv4 is judged as that too.
func (a Addresses) Check(addr netip.Addr) error {
	plain := addr.Unmap().WithZone("")
	refused := isNowhere(plain) || a.forbids(plain, plain)
	for _, inner := range embedded(plain) {
		refused = refused || a.forbids(inner.addr, plain) || !inner.guessed && isNowhere(inner.addr)
	}
	if refused {
		return &Refusal{Addr: addr}
	}
	return nil
}

// forbids judges an address that is written in another one, or is that itself. An exception may name either.
func (a Addresses) forbids(addr, outer netip.Addr) bool {
	if addr.IsLinkLocalUnicast() || slices.Contains(metadata, addr) {
		return true
	}
	own := addr.IsLoopback() || addr.IsPrivate() || contain(private, addr)
	return a.DenyPrivate && own && !contain(a.Allow, addr) && !contain(a.Allow, outer)
}

func isNowhere(addr netip.Addr) bool {
	return !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || contain(nowhere, addr)
}

func contain(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Control is a net.Dialer's: it sees the address that a name resolved to, right before the connection.
func (a Addresses) Control(_, address string, _ syscall.RawConn) error {
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
