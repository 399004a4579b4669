package sdk

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// errCut ends an action whose time is over, at the next call that it makes.
var errCut = errors.New("it was cut short")

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// refuseWhenCut refuses calls of an action that has been cut short. One that is under way comes to its end: what has been
// sent may have been done.
func (a *action) refuseWhenCut(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if a.ctx.Err() != nil {
			return nil, errCut
		}
		return next.RoundTrip(r)
	})
}

// maxStatus bounds what is read of an answer to find out whether it is worth another try.
const maxStatus = 64 << 10

// retrying asks once more where etcd changed its leader under the API server, which answers that with an internal error.
func retrying(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		answer, err := next.RoundTrip(r)
		if err != nil || answer.StatusCode < http.StatusInternalServerError || r.Body != nil && r.GetBody == nil {
			return answer, err
		}
		if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind != "application/json" {
			return answer, nil
		}
		content, err := io.ReadAll(io.LimitReader(answer.Body, maxStatus))
		if err != nil {
			return nil, errors.Join(err, answer.Body.Close())
		}
		var status metav1.Status
		lost := json.Unmarshal(content, &status) == nil &&
			(strings.HasSuffix(status.Message, "etcdserver: leader changed") || strings.HasSuffix(status.Message, "raft proposal dropped"))
		if !lost {
			answer.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(bytes.NewReader(content), answer.Body), answer.Body}
			return answer, nil
		}
		if err := answer.Body.Close(); err != nil {
			return nil, err
		}
		again := r.Clone(r.Context())
		if r.GetBody != nil {
			if again.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
		return next.RoundTrip(again)
	})
}
