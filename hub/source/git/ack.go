package git

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
)

// Azure DevOps serves those alone that ask for multi_ack, which go-git does not by itself: it does not go on as such an answer
// may ask for. Here a request says all that it has, and that it is done, so that the answer is whole: what the server knows of
// that, line by line, and the objects. The setting is the process', of which nothing else speaks go-git's transport.
func init() {
	transport.UnsupportedCapabilities = []capability.Capability{capability.ThinPack}
}

const (
	// maxAcks is how many lines a server may have before the objects: one or two for each commit that it was told of.
	maxAcks = 4 * maxHaves
	// maxAck is more than such a line has.
	maxAck = 100
)

// acked reads an answer to a request for objects. What the server says of the commits that it was told of is held in memory
// by whoever decodes it, so that it is bounded here.
type acked struct {
	from *bufio.Reader
	acks bytes.Buffer // what was looked at, to be read first
	err  error
	seen bool
}

func newAcked(from io.Reader) *acked { return &acked{from: bufio.NewReader(from)} }

// Read implements io.Reader.
func (a *acked) Read(p []byte) (int, error) {
	if !a.seen {
		a.seen, a.err = true, a.look()
	}
	if a.acks.Len() > 0 {
		return a.acks.Read(p)
	}
	if a.err != nil {
		return 0, a.err
	}
	return a.from.Read(p)
}

// look reads the lines that begin with ACK or NAK (gitprotocol-pack). What ends in one is for the decoder to judge.
func (a *acked) look() error {
	for range maxAcks {
		head, err := a.from.Peek(7)
		if err != nil || string(head[4:]) != "ACK" && string(head[4:]) != "NAK" {
			return nil
		}
		size, err := strconv.ParseUint(string(head[:4]), 16, 16)
		switch {
		case err != nil, size < 7:
			return nil
		case size > maxAck:
			return &packError{errors.New("a line before it is too long")}
		}
		if _, err := io.CopyN(&a.acks, a.from, int64(size)); err != nil {
			return err
		}
	}
	return &packError{errors.New("there are too many lines before it")}
}
