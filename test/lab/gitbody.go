package lab

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"strings"
)

// requestBody is a request's body, read to a file when its length was not announced.
type requestBody struct {
	file  *os.File
	begin []byte // the first bytes, unpacked
}

// beginning is as much as tells what a request asks for.
const beginning = 256

// wholeBody gives the request a length, which a CGI program must be told and large pushes do not announce.
func wholeBody(r *http.Request) (*requestBody, error) {
	body := &requestBody{}
	if r.ContentLength < 0 {
		file, err := os.CreateTemp("", "flotilla-lab-push-")
		if err != nil {
			return nil, err
		}
		_ = os.Remove(file.Name()) // open is enough
		body.file = file
		size, err := io.Copy(file, r.Body)
		if err == nil {
			_, err = file.Seek(0, io.SeekStart)
		}
		if err != nil {
			body.Close()
			return nil, err
		}
		r.Body, r.ContentLength, r.TransferEncoding = file, size, nil
	}
	buffered := bufio.NewReaderSize(r.Body, 16<<10)
	packed, _ := buffered.Peek(int(min(max(r.ContentLength, 0), 16<<10)))
	body.begin = packed
	if r.Header.Get("Content-Encoding") == "gzip" {
		if unpacked, err := gzip.NewReader(bytes.NewReader(packed)); err == nil {
			body.begin, _ = io.ReadAll(io.LimitReader(unpacked, beginning)) // what was not peeked at is missing
		}
	}
	body.begin = bytes.Clone(body.begin[:min(len(body.begin), beginning)])
	r.Body = struct {
		io.Reader
		io.Closer
	}{buffered, r.Body}
	return body, nil
}

// Close frees the file.
func (b *requestBody) Close() {
	if b.file != nil {
		_ = b.file.Close()
	}
}

// add counts a request for what it is.
func (t *GitTraffic) add(r *http.Request, body *requestBody) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/info/refs") && r.URL.Query().Get("service") == "git-upload-pack":
		t.Advertisements++
	case strings.HasSuffix(r.URL.Path, "/git-upload-pack") && bytes.Contains(body.begin, []byte("command=ls-refs")):
		t.Listings++
	case strings.HasSuffix(r.URL.Path, "/git-upload-pack"):
		t.Fetches++
	case strings.HasSuffix(r.URL.Path, "/git-receive-pack"):
		t.Pushes++
	}
}
