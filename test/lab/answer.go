package lab

import (
	"io"
	"net/http"
)

// Answer gives every client one answer, whatever it asked.
func Answer(status int, body string) Fault {
	return httpOnly(func(w http.ResponseWriter, _ *http.Request, _ http.Handler, _ <-chan struct{}) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// RedirectTo sends every client to one place, whatever it asked.
func RedirectTo(location string) Fault {
	return httpOnly(func(w http.ResponseWriter, _ *http.Request, _ http.Handler, _ <-chan struct{}) {
		w.Header().Set("Location", location) // as it is: it may be no address
		w.WriteHeader(http.StatusFound)
	})
}
