package reach

import (
	"net/netip"
)

// innerAddr is an address of IPv4 that one of IPv6 may stand for: a router on the way takes it there.
type innerAddr struct {
	addr netip.Addr
	// guessed: whether it does depends on how a network is set up.
	guessed bool
}

// embeddings are the ranges of IPv6 whose addresses have one of IPv4 in them, and at which of their bytes.
var embeddings = []struct {
	prefix  netip.Prefix
	at      [4]int
	flipped bool // each bit of it
	guessed bool
}{
	{prefix: netip.MustParsePrefix("::/96"), at: last4},                    // IPv4-compatible (RFC 4291)
	{prefix: netip.MustParsePrefix("::ffff:0:0:0/96"), at: last4},          // IPv4-translated (RFC 2765)
	{prefix: netip.MustParsePrefix("64:ff9b::/96"), at: last4},             // NAT64 (RFC 6052)
	{prefix: netip.MustParsePrefix("2002::/16"), at: bytesFrom(2)},         // 6to4
	{prefix: netip.MustParsePrefix("2001::/32"), at: bytesFrom(4)},         // Teredo: the server,
	{prefix: netip.MustParsePrefix("2001::/32"), at: last4, flipped: true}, // and whom it leads to
	// A network's own NAT64 (RFC 8215), whose prefixes may have these lengths (RFC 6052, 2.2; the ninth byte is left out).
	{prefix: ownNAT64, at: last4, guessed: true},
	{prefix: ownNAT64, at: [4]int{6, 7, 9, 10}, guessed: true},
	{prefix: ownNAT64, at: [4]int{7, 9, 10, 11}, guessed: true},
	{prefix: ownNAT64, at: [4]int{9, 10, 11, 12}, guessed: true},
}

var (
	ownNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")
	last4    = bytesFrom(12)
)

func bytesFrom(i int) [4]int { return [4]int{i, i + 1, i + 2, i + 3} }

// embedded are the addresses of IPv4 that one of IPv6 may stand for.
func embedded(addr netip.Addr) (out []innerAddr) {
	if !addr.Is6() || addr.IsUnspecified() || addr.IsLoopback() {
		return nil
	}
	bytes := addr.As16()
	for _, e := range embeddings {
		if !e.prefix.Contains(addr) {
			continue
		}
		var inner [4]byte
		for i, at := range e.at {
			inner[i] = bytes[at]
			if e.flipped {
				inner[i] = ^inner[i]
			}
		}
		out = append(out, innerAddr{netip.AddrFrom4(inner), e.guessed})
	}
	// ISATAP (RFC 5214) has it below any prefix.
	if bytes[8]&^2 == 0 && bytes[9] == 0 && bytes[10] == 0x5e && bytes[11] == 0xfe {
		out = append(out, innerAddr{netip.AddrFrom4([4]byte(bytes[12:])), true})
	}
	return out
}
