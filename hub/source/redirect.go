package source

import (
	"net/http"
	"strings"
)

// redirectError is a redirect to where the credential may not go, or one that leads nowhere.
type redirectError struct {
	host string
	loop bool
}

func (e *redirectError) Error() string {
	if e.loop {
		return "it redirects to itself over and over"
	}
	return "it redirects to " + e.host + ", which is not followed"
}

// Redirected is the error of an answer that is a redirect and is not followed, in the words for one to another host. Of
// any other answer it is nil.
func Redirected(res *http.Response) error {
	if res.StatusCode < 300 || res.StatusCode > 399 || res.StatusCode == http.StatusNotModified {
		return nil
	}
	if to, err := res.Location(); err == nil {
		return &redirectError{host: to.Scheme + "://" + to.Host}
	}
	return nil
}

// MaxRedirects is how many are followed.
const MaxRedirects = 5

// SameHost follows redirects that stay at the host and port, or go from http to https on their usual ports. The
// credential is sent along.
func SameHost(req *http.Request, via []*http.Request) error {
	from, to := via[0].URL, req.URL
	upgrade := from.Scheme == "http" && to.Scheme == "https" && from.Port() == "" && to.Port() == ""
	if !strings.EqualFold(from.Hostname(), to.Hostname()) || from.Port() != to.Port() || (from.Scheme != to.Scheme && !upgrade) {
		return &redirectError{host: to.Scheme + "://" + to.Host}
	}
	if len(via) > MaxRedirects {
		return &redirectError{loop: true}
	}
	return nil
}
