package lab

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestLinkLetsNothingThroughWhileItIsCut(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	t.Cleanup(server.Close)
	link := TestLink(t, server.Listener.Addr().String())
	address := link.Address()
	get := func() error {
		response, err := http.Get("http://" + address)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, err = io.ReadAll(response.Body)
		return err
	}
	if err := get(); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	link.Cut()
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives the cut")
	}
	if err := get(); err == nil {
		t.Error("a request gets through the cut")
	}
	if err := link.Mend(); err != nil {
		t.Fatal(err)
	}
	if err := get(); err != nil || link.Address() != address {
		t.Errorf("after it is mended, at %s: %v", link.Address(), err)
	}
}
