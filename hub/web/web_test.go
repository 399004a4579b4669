package web_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/web"
)

func TestReadyTellsOfATroubleAndIsReady(t *testing.T) {
	t.Parallel()
	var away atomic.Bool
	var trouble atomic.Value
	trouble.Store("")
	var log bytes.Buffer
	site := web.New(web.Config{
		Metrics: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(&log, nil)), Trouble: func() string { return trouble.Load().(string) },
		Ready: func(context.Context) error {
			if away.Load() {
				return errors.New("away")
			}
			return nil
		},
	})
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(ctx, listener, site.Handler()) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	want := func(code int, text string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listener.Addr().String()+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != code || string(body) != text {
			t.Errorf("%d %q, %v; want %d %q", answer.StatusCode, body, err, code, text)
		}
	}
	want(http.StatusOK, "ok\n")
	trouble.Store("no builds: why")
	want(http.StatusOK, "ok\nno builds: why\n")
	trouble.Store("no builds: and how")
	want(http.StatusOK, "ok\nno builds: and how\n")
	trouble.Store("slow builds: 3")
	want(http.StatusOK, "ok\nslow builds: 3\n")
	trouble.Store("")
	want(http.StatusOK, "ok\n")
	want(http.StatusOK, "ok\n")
	away.Store(true)
	want(http.StatusServiceUnavailable, "the database does not answer\n")
	stop()
	if in, out := strings.Count(log.String(), `msg="in trouble"`), strings.Count(log.String(), `msg="out of trouble"`); in != 2 || out != 1 {
		t.Errorf("of two troubles, one after the other, it is logged %d times that one began, and %d times that it was over:\n%s", in, out, log.String())
	}
}
