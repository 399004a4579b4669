package source_test

import (
	"testing"

	"flotilla.dev/flotilla/hub/source"
)

// A proxy may read these as inet_aton does: as the address of a metadata service.
func TestHostsThatAreNumbersAreRefusedBehindAProxy(t *testing.T) {
	t.Parallel()
	network := source.NewNetwork(source.NetworkConfig{Metrics: source.NewMetrics(nil)})
	for _, host := range []string{"2852039166", "0xa9fea9fe", "0xA9FEA9FE", "169.254.43518", "0251.0376.0251.0376", "169.254.169.254", "169.254.169.254.", "1.0x", "[::ffff:169.254.169.254]"} {
		if host[0] == '[' {
			host = host[1 : len(host)-1]
		}
		if err := network.CheckBehind(t.Context(), host); err == nil {
			t.Errorf("%s is allowed", host)
		}
	}
	for _, host := range []string{"127.0.0.1", "localhost", "no-such-host.invalid", "::1", "v6.0x7.example"} {
		if err := network.CheckBehind(t.Context(), host); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}
