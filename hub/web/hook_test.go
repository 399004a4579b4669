package web_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"flotilla.dev/flotilla/hub/web"
)

// hooks answer as a function says.
type hooks func(path string, header http.Header, body io.Reader) (code int, text string)

func (h hooks) Call(_ context.Context, path string, header http.Header, body io.Reader) (code int, text string) {
	return h(path, header, body)
}

// post has hooks take a request.
func post(t *testing.T, h hooks, log *strings.Builder, method, path, body string) *http.Response {
	t.Helper()
	recorder := httptest.NewRecorder()
	web.Receivers(h, slog.New(slog.NewTextHandler(log, nil))).ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	return recorder.Result()
}

const path = "/hook/0123"

// Webhooks have to be reachable from anywhere: nothing else is where they are, and they are nowhere else.
func TestNothingButWebhooksIsServedWhereTheyAre(t *testing.T) {
	t.Parallel()
	called := hooks(func(string, http.Header, io.Reader) (int, string) { return http.StatusOK, "called" })
	for _, other := range []string{"/metrics", "/healthz", "/readyz", "/", "/hook", "/debug/pprof/"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if answer := post(t, called, &strings.Builder{}, method, other, ""); answer.StatusCode != http.StatusNotFound {
				t.Errorf("%s %s is answered %d", method, other, answer.StatusCode)
			}
		}
	}
	site := web.New(web.Config{Metrics: prometheus.NewRegistry(), Log: slog.New(slog.DiscardHandler)})
	recorder := httptest.NewRecorder()
	site.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil))
	if recorder.Code != http.StatusNotFound {
		t.Errorf("beside the metrics, a webhook is answered %d", recorder.Code)
	}
}

func TestAWebhookIsCalledWithPostAlone(t *testing.T) {
	t.Parallel()
	called := 0
	h := hooks(func(got string, header http.Header, body io.Reader) (int, string) {
		called++
		content, err := io.ReadAll(body)
		if got != path || err != nil || string(content) != "{}" {
			t.Errorf("called is %s with %q, %v", got, content, err)
		}
		return http.StatusOK, "ok"
	})
	var log strings.Builder
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch, "POSTS"} {
		if answer := post(t, h, &log, method, path, "{}"); answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "POST" {
			t.Errorf("%s is answered %d", method, answer.StatusCode)
		}
	}
	if answer := post(t, h, &log, http.MethodPost, path, "{}"); answer.StatusCode != http.StatusOK || called != 1 {
		t.Errorf("answered %d, called %d times", answer.StatusCode, called)
	}
	for code, retry := range map[int]string{http.StatusTooManyRequests: "5", http.StatusServiceUnavailable: "5", http.StatusBadRequest: ""} {
		answer := post(t, func(string, http.Header, io.Reader) (int, string) { return code, "no" }, &log, http.MethodPost, path, "")
		if answer.StatusCode != code || answer.Header.Get("Retry-After") != retry {
			t.Errorf("answered %d, try again after %q", answer.StatusCode, answer.Header.Get("Retry-After"))
		}
	}
}

func TestABodyOfMoreThanAMiBIsTooLarge(t *testing.T) {
	t.Parallel()
	h := hooks(func(_ string, _ http.Header, body io.Reader) (int, string) {
		content, err := io.ReadAll(body)
		if err != nil {
			return http.StatusRequestEntityTooLarge, "too large"
		}
		if len(content) > 1<<20 {
			t.Errorf("read are %d bytes", len(content))
		}
		return http.StatusOK, "ok"
	})
	for size, code := range map[int]int{1 << 20: http.StatusOK, 1<<20 + 1: http.StatusRequestEntityTooLarge, 64 << 20: http.StatusRequestEntityTooLarge} {
		if answer := post(t, h, &strings.Builder{}, http.MethodPost, path, strings.Repeat("x", size)); answer.StatusCode != code {
			t.Errorf("%d bytes are answered %d, want %d", size, answer.StatusCode, code)
		}
	}
}

// What was done until a call was refused cannot be told by the time of the answer.
func TestRefusalsAreAnsweredAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		took := func(code int, work time.Duration) time.Duration {
			began := time.Now()
			answer := post(t, func(string, http.Header, io.Reader) (int, string) {
				time.Sleep(work)
				return code, "x"
			}, &strings.Builder{}, http.MethodPost, path, "")
			if answer.StatusCode != code {
				t.Errorf("answered %d", answer.StatusCode)
			}
			return time.Since(began)
		}
		first := took(http.StatusNotFound, 0)
		for _, work := range []time.Duration{time.Microsecond, time.Millisecond, 100 * time.Millisecond} {
			if again := took(http.StatusNotFound, work); again != first || first < work {
				t.Errorf("refused after %s of work, it is answered after %s, and without work after %s", work, again, first)
			}
		}
		if good := took(http.StatusOK, 0); good != 0 {
			t.Errorf("a good call is answered after %s", good)
		}
	})
}

func TestAPanicEndsOneCallAndTellsNothingOfIt(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	answer := post(t, func(_ string, _ http.Header, body io.Reader) (int, string) {
		content, _ := io.ReadAll(body)
		panic(string(content))
	}, &log, http.MethodPost, path, "hunter2")
	body, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusInternalServerError || err != nil || strings.Contains(string(body), "hunter2") {
		t.Errorf("answered %d %q, %v", answer.StatusCode, body, err)
	}
	if told := log.String(); !strings.Contains(told, "hook_test.go") || strings.Contains(told, "hunter2") || strings.Contains(told, path) {
		t.Errorf("logged is %s", told)
	}
}
