package source_test

import (
	"net/netip"
	"testing"

	"flotilla.dev/flotilla/hub/source"
)

func TestAddressPolicy(t *testing.T) {
	t.Parallel()
	never := []string{
		"169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1",
		"::a9fe:a9fe", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254", "192.0.0.192", "0.0.0.0", "0.1.2.3", "::", "224.0.0.1",
		"ff02::1", "255.255.255.255", "64:ff9b::6464:64c8", "::ffff:0.0.0.0",
	}
	private := []string{
		"127.0.0.1", "127.1.2.3", "::1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::",
		"198.18.0.1", "::7f00:1",
	}
	public := []string{"140.82.121.3", "2606:50c0:8000::154", "172.32.0.1", "100.128.0.1", "64:ff9b::8c52:7903"}
	for _, tc := range []struct {
		addresses []string
		open      bool
		strict    bool
	}{{never, false, false}, {private, true, false}, {public, true, true}} {
		for _, text := range tc.addresses {
			addr := netip.MustParseAddr(text)
			if err := (source.Addresses{}).Check(addr); (err == nil) != tc.open {
				t.Errorf("%s by default: %v, want allowed %t", text, err, tc.open)
			}
			if err := (source.Addresses{DenyPrivate: true}).Check(addr); (err == nil) != tc.strict {
				t.Errorf("%s with DenyPrivate: %v, want allowed %t", text, err, tc.strict)
			}
		}
	}
	allow := source.Addresses{DenyPrivate: true, Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16")}}
	if allow.Check(netip.MustParseAddr("10.1.2.3")) != nil || allow.Check(netip.MustParseAddr("169.254.169.254")) == nil || allow.Check(netip.MustParseAddr("192.168.0.1")) == nil {
		t.Error("exceptions must open what they name, and never the metadata service")
	}
}
