package artifact

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"flotilla.dev/flotilla/pkg/fleet"
)

// ExtractLimits bound what an archive may have. A zero field has its default.
type ExtractLimits struct {
	// Compressed is the bytes of the archive as it comes; the default is 50 MiB. A plain tar has Unpacked alone.
	Compressed int64
	// Unpacked is the bytes of the tar: contents, headers and padding; the default is 200 MiB.
	Unpacked int64
	// File is the bytes of one file; the default is 32 MiB.
	File int64
	// Ratio is how often more bytes may have come out of the compression than went in, once the first MiB is out; the
	// default is 100.
	Ratio int64
	// Entries is the number of files and of directories, those that have no entry of their own included; the default is
	// 20,000.
	Entries int
}

// ratioFrom is what may come out before the ratio counts.
const ratioFrom = 1 << 20

// maxNames bounds the bytes of all names together.
const maxNames = 16 << 20

// WithDefaults are the limits with the defaults in the place of zeros.
func (l ExtractLimits) WithDefaults() ExtractLimits {
	if l.Compressed == 0 {
		l.Compressed = 50 << 20
	}
	if l.Unpacked == 0 {
		l.Unpacked = 200 << 20
	}
	if l.File == 0 {
		l.File = 32 << 20
	}
	if l.Ratio == 0 {
		l.Ratio = 100
	}
	if l.Entries == 0 {
		l.Entries = 20_000
	}
	return l
}

// ArchiveError says what is wrong with an archive. It wraps fleet.ErrInvalid.
type ArchiveError struct {
	// Entry is the name of the entry as the archive has it; it is empty for what is wrong with the archive as a whole.
	Entry string
	// Limit says that the archive may be well, but is larger than allowed.
	Limit bool
	// Text says what is wrong.
	Text string
}

func (e *ArchiveError) Error() string { return fleet.ErrInvalid.Error() + ": " + e.Message() }

// Message is Error without the word of fleet.ErrInvalid.
func (e *ArchiveError) Message() string {
	if e.Entry == "" {
		return "archive: " + e.Text
	}
	return fmt.Sprintf("archive entry %q: %s", cut(e.Entry), e.Text)
}

// Unwrap implements errors.Unwrap.
func (e *ArchiveError) Unwrap() error { return fleet.ErrInvalid }

func (e *extraction) refuse(format string, args ...any) error {
	return &ArchiveError{Entry: e.entryName, Text: fmt.Sprintf(format, args...)}
}

func (e *extraction) beyond(format string, args ...any) error {
	return &ArchiveError{Entry: e.entryName, Limit: true, Text: fmt.Sprintf(format, args...)}
}

// open finds out how the archive is packed.
func (e *extraction) open() error {
	var first [2]byte
	n, err := io.ReadFull(e.source, first[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if n < len(first) {
		return e.refuse("it is empty")
	}
	e.source.unread = first[:]
	e.packed = isGzip(first)
	unpacked := io.Reader(e.source)
	if e.packed {
		if unpacked, err = gzip.NewReader(e.source); err != nil {
			return err
		}
	} else {
		e.source.limit = e.limits.Unpacked
		e.source.limitText = "the archive has more than %s"
	}
	e.unpacked = &metered{ctx: e.source.ctx, from: unpacked, limit: e.limits.Unpacked, limitText: "the archive has more than %s unpacked"}
	if e.packed {
		e.unpacked.packed, e.unpacked.ratio = e.source, e.limits.Ratio
		var inner [2]byte
		if n, err = io.ReadFull(e.unpacked, inner[:]); isGzip(inner) {
			return e.refuse("it is compressed twice")
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		e.unpacked.unread = inner[:n]
	}
	return nil
}

func isGzip(first [2]byte) bool { return first == [2]byte{0x1f, 0x8b} }

// explain words an error that came out of reading: a limit, an error of the reader's or of the context as they are, and
// all others as what they are, a broken archive.
func (e *extraction) explain(err error) error {
	for _, m := range []*metered{e.source, e.unpacked} {
		if m == nil || m.err == nil {
			continue
		}
		var limit *ArchiveError
		if errors.As(m.err, &limit) && limit.Entry == "" {
			limit.Entry = e.entryName
		}
		return m.err
	}
	var known *ArchiveError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return e.broken("is cut off")
	case e.unpacked == nil, errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return e.broken("is compressed wrongly")
	}
	return e.broken("is broken, or no tar")
}

// broken names what is broken: an entry, what follows it, or the whole.
func (e *extraction) broken(how string) error {
	if e.between && e.entryName != "" {
		return e.refuse("what follows it %s", how)
	}
	return e.refuse("it %s", how)
}

// metered counts what is read, and fails with err for good once there is more than the limit.
type metered struct {
	ctx       context.Context // it lives as long as the call
	from      io.Reader
	unread    []byte // what was looked at beforehand, and counted then
	limit     int64
	limitText string
	count     int64
	sinceMark int64 // what was read since somebody set it to zero
	err       error // what it failed with

	// packed is where what is read comes from by decompression, of which there may be ratio times as much.
	packed *metered
	ratio  int64
}

func (m *metered) Read(p []byte) (int, error) {
	if m.err != nil {
		return 0, m.err
	}
	if m.ctx.Err() != nil {
		m.err = context.Cause(m.ctx)
		return 0, m.err
	}
	if len(m.unread) > 0 {
		n := copy(p, m.unread)
		m.unread = m.unread[n:]
		return n, nil
	}
	n, err := m.from.Read(p)
	m.count += int64(n)
	m.sinceMark += int64(n)
	switch {
	case m.count > m.limit:
		m.err = &ArchiveError{Limit: true, Text: fmt.Sprintf(m.limitText, bytesText(m.limit))}
	case m.packed != nil && m.count > ratioFrom && m.count/m.ratio > m.packed.count:
		m.err = &ArchiveError{Limit: true, Text: fmt.Sprintf("the archive unpacks to more than %d times its size", m.ratio)}
	case m.packed == nil && err != nil && !errors.Is(err, io.EOF):
		m.err = err
	}
	if m.err != nil {
		return 0, m.err
	}
	return n, err
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	if n >= 1<<20 && n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}
