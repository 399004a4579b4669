package bucket

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"flotilla.dev/flotilla/hub/source"
)

// Bounds of answers.
const (
	maxError = 64 << 10
	maxToken = 1 << 20
	// maxPages is how many answers a list may have. An honest one has an object of a thousand in each.
	maxPages = 2000
	maxPage  = 8 << 20
	// maxMarks bounds the elements of a page: those of a thousand objects with all that is said of them. What is decoded
	// of an empty element is many times its size.
	maxMarks = 100_000
	pageSize = 1000
)

// pages is in the context of the requests of one list.
type pages struct {
	left int
	// root is what an answer has to hold at its beginning, so that a page of something else is no empty list.
	root string
	mark byte
}

type pagesKey struct{}

func withPages(ctx context.Context, root string, mark byte) context.Context {
	return context.WithValue(ctx, pagesKey{}, &pages{left: maxPages, root: root, mark: mark})
}

// pagesOf is non-nil for a request that lists. S3's question for a bucket's location comes in between.
func pagesOf(req *http.Request) *pages {
	p, _ := req.Context().Value(pagesKey{}).(*pages)
	if p == nil || req.URL.Query().Has("location") {
		return nil
	}
	return p
}

// limit is how much an answer may have.
func (w *wire) limit(req *http.Request) (int64, string) {
	if pagesOf(req) != nil {
		return maxPage, fmt.Sprintf("a page of its list has more than %d MiB", maxPage>>20)
	}
	return w.file, fmt.Sprintf("an object has more than %d bytes; a file may have that many", w.file)
}

// listReader bounds lists beyond their bytes.
type listReader struct{ next http.RoundTripper }

func (r *listReader) RoundTrip(req *http.Request) (*http.Response, error) {
	p := pagesOf(req)
	if p != nil {
		if p.left--; p.left < 0 {
			return nil, &source.TooLargeError{Problem: fmt.Sprintf("its list has more than %d pages; give spec.prefix", maxPages)}
		}
	}
	res, err := r.next.RoundTrip(req)
	if err != nil || p == nil || res.StatusCode != http.StatusOK {
		return res, err
	}
	buffered := bufio.NewReaderSize(res.Body, 4096)
	begin, _ := buffered.Peek(512) // what is wrong comes again when it is read
	if !bytes.Contains(begin, []byte(p.root)) {
		_ = res.Body.Close()
		return nil, errForeign
	}
	res.Body = &counted{buffered, res.Body, p.mark, maxMarks}
	return res, nil
}

// counted is a page that may have so many marks.
type counted struct {
	io.Reader
	io.Closer
	mark byte
	left int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if c.left -= bytes.Count(p[:n], []byte{c.mark}); c.left < 0 {
		return n, &source.TooLargeError{Problem: "a page of its list has more elements than those of a thousand objects"}
	}
	return n, err
}
