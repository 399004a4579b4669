package source_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flotilla.dev/flotilla/hub/source"
)

func open(t *testing.T) *source.Network {
	t.Helper()
	return source.NewNetwork(source.NetworkConfig{Metrics: source.NewMetrics(nil)})
}

// turn takes one that lasts to the end of the test, or to its time.
func turn(t *testing.T, n *source.Network, u source.Upstream) (func(), error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return n.Turn(ctx, u)
}

func isBusy(err error) bool { return err != nil && source.KindOf(err) == source.KindBusy }

// Whoever has a proxy, or authorities, of their own decides what is answered there. That must not count for others.
func TestWhatIsSaidOnATenantsOwnWayToAHostCountsThereAlone(t *testing.T) {
	t.Parallel()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "900")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer proxy.Close()
	n := open(t)
	direct := source.Upstream{URL: "http://git.example.com/app"}
	through := direct
	through.Secrets = source.Secrets{"proxySecretRef": {"address": []byte(proxy.URL)}}
	other := direct
	other.Secrets = source.Secrets{"proxySecretRef": {"address": []byte("http://other.example.com")}}
	for _, u := range []source.Upstream{direct, through, other} { // somebody's conversations are under way
		done, err := turn(t, n, u)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
	}
	address, err := through.Proxy()
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range []string{"", through.Route()} {
		client := n.Client(source.ClientConfig{Proxy: address, Route: route, Limit: func(*http.Request) (int64, string) { return 1, "" }})
		res, err := client.Get(direct.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
	}
	if n.Busy(direct) != nil || n.Busy(other) != nil {
		t.Errorf("left alone for others too: %v, %v", n.Busy(direct), n.Busy(other))
	}
	if _, err := turn(t, n, through); !isBusy(err) {
		t.Errorf("asked through the proxy: %v, want busy", err)
	}
}

func TestATenantsConversationsThatLastKeepNoOtherFromAHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := open(t)
		slow := source.Upstream{URL: "https://git.example.com/slow", Party: "slow"}
		for range 4 {
			if _, err := turn(t, n, slow); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := turn(t, n, slow); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a fifth of the same tenant: %v", err)
		}
		if _, err := turn(t, n, source.Upstream{URL: "https://git.example.com/app", Party: "other"}); err != nil {
			t.Errorf("another tenant: %v", err)
		}
	})
}

func TestAConversationHasABoundWhateverTheSpecSays(t *testing.T) {
	t.Parallel()
	for asked, want := range map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Second, 10_000 * time.Minute: 15 * time.Minute} {
		if got := (source.Upstream{Timeout: asked}).TimeLimit(); got != want {
			t.Errorf("timeout %s: %s, want %s", asked, got, want)
		}
	}
}

func TestAHostHasItsTurnsHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const one = "https://git.example.com/a"
		for address, same := range map[string]bool{
			"https://git.example.com/b": true, "https://Git.Example.COM/b": true, "https://git.example.com:443/b": true,
			"https://git.example.com./b": true, "oci://git.example.com/b": true, "oci://git.example.com:443/b": true,
			"http://git.example.com:80/b": true, "ssh://git@git.example.com:22/b": true,
			"https://git.example.com:8443/b": false, "https://other.example.com/b": false, "ssh://git@git.example.com:443/b": false,
		} {
			network := source.NewNetwork(source.NetworkConfig{PerHost: 1, Metrics: source.NewMetrics(nil)})
			done, err := network.Turn(t.Context(), source.Upstream{URL: one})
			if err != nil {
				t.Fatal(err)
			}
			limited, cancel := context.WithTimeout(t.Context(), time.Minute)
			again, err := network.Turn(limited, source.Upstream{URL: address})
			if (err != nil) != same {
				t.Errorf("%s beside %s: error %v, want one: %t", address, one, err, same)
			}
			if err == nil {
				again()
			}
			cancel()
			done()
		}
	})
}

func TestAHostThatAsksForItIsLeftAloneHoweverItIsWritten(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(server.Close)
	network := source.NewNetwork(source.NetworkConfig{Metrics: source.NewMetrics(nil)})
	plain := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	capital := strings.Replace(server.URL, "127.0.0.1", "LocalHost", 1)
	done, err := network.Turn(t.Context(), source.Upstream{URL: plain})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	client := network.Client(source.ClientConfig{Limit: func(*http.Request) (int64, string) { return 1, "" }})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, capital, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	for _, address := range []string{plain, capital} {
		if busy := network.Busy(source.Upstream{URL: address}); busy == nil || busy.RetryAfter <= 0 {
			t.Errorf("%s is not left alone: %v", address, busy)
		}
	}
}
