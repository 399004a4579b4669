package reach_test

import (
	"net/netip"
	"testing"

	"flotilla.dev/flotilla/pkg/reach"
)

func TestAddressPolicy(t *testing.T) {
	t.Parallel()
	never := []string{
		"169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
		"::a9fe:a9fe", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "192.0.0.192", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1",
		"ff02::1", "255.255.255.255", "64:ff9b::6464:64c8", "::ffff:0.0.0.0", "fd00:ec2::23", "fd00:42::42",
		"64:ff9b::0.0.0.0", "2002:e000:1::", "::ffff:0:169.254.169.254",
		// NAT64 of a network's own, by prefixes of 48, 56, 64 and 96 bits.
		"64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:abcd:a9:fea9:fe00:0", "64:ff9b:1::169.254.169.254",
		// Teredo: its server, and whom it leads to, with each bit flipped.
		"2001:0:a9fe:a9fe::1", "2001:0:5ef5:79fb:0:0:5601:5601",
		// ISATAP, of a global and of a local address.
		"2001:db8::5efe:169.254.169.254", "2606:50c0::200:5efe:169.254.169.254", "2606:50c0::5efe:100.100.100.200",
	}
	private := []string{
		"127.0.0.1", "127.1.2.3", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::",
		"198.18.0.1", "::7f00:1", "fec0::1", "feff::1", "192.0.0.1", "192.0.0.170", "::ffff:0:10.0.0.1", "2606:50c0::5efe:10.0.0.1", "2606:50c0::200:5efe:127.0.0.1",
		"64:ff9b:1:a00:0:100::", "64:ff9b:1:a:0:1::", "64:ff9b:1:abcd:a:0:100:0", "64:ff9b:1::10.0.0.1", "64:ff9b::192.0.0.1",
		"2001:0:a00:1:0:0:73ad:86fc", "2001:0:5ef5:79fb:0:0:f5ff:fffe",
	}
	public := []string{"140.82.121.3", "2606:50c0:8000::154", "172.32.0.1", "100.128.0.1", "64:ff9b::8c52:7903",
		"64:ff9b:1::8c52:7903", "64:ff9b:1:8c52:79:300::", "2001:0:5ef5:79fb:0:0:73ad:86fc", "2606:50c0::5efe:8c52:7903", "2606:50c0::100:5efe:a00:1", "2002:8c52:7903::1",
		"192.0.1.1", "fe00::1", "::ffff:0:8c52:7903"}
	for _, tc := range []struct {
		addresses []string
		open      bool
		strict    bool
	}{{never, false, false}, {private, true, false}, {public, true, true}} {
		for _, text := range tc.addresses {
			addr := netip.MustParseAddr(text)
			if err := (reach.Addresses{}).Check(addr); (err == nil) != tc.open {
				t.Errorf("%s by default: %v, want allowed %t", text, err, tc.open)
			}
			if err := (reach.Addresses{DenyPrivate: true}).Check(addr); (err == nil) != tc.strict {
				t.Errorf("%s with DenyPrivate: %v, want allowed %t", text, err, tc.strict)
			}
		}
	}
}

func TestExceptionsOpenWhatTheyNameAndNeverTheMetadataService(t *testing.T) {
	t.Parallel()
	policy := reach.Addresses{DenyPrivate: true}
	for _, prefix := range []string{"10.0.0.0/8", "169.254.0.0/16", "64:ff9b:1:a00::/64", "fd12::/16"} {
		policy.Allow = append(policy.Allow, netip.MustParsePrefix(prefix))
	}
	for text, open := range map[string]bool{
		"10.1.2.3": true, "192.168.0.1": false, "169.254.169.254": false,
		"64:ff9b::10.1.2.3": true, "64:ff9b::192.168.0.1": false, "64:ff9b:1:a00::192.168.0.1": true, "64:ff9b:1:a00::169.254.169.254": false,
		"fd12::5efe:192.168.0.1": true, "fd12::5efe:169.254.169.254": false, "fd13::1": false,
	} {
		if err := policy.Check(netip.MustParseAddr(text)); (err == nil) != open {
			t.Errorf("%s: %v, want allowed %t", text, err, open)
		}
	}
}
