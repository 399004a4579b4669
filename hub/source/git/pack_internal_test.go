package git

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"

	"flotilla.dev/flotilla/hub/source"
)

// bomb is a pack of a blob of zeros and of deltas that each make as much again out of it, or out of the one before.
func bomb(t *testing.T, size, deltas int, chained bool) []byte {
	t.Helper()
	var pack bytes.Buffer
	deflate := zlib.NewWriter(&pack)
	pack.WriteString("PACK")
	_ = binary.Write(&pack, binary.BigEndian, []uint32{2, uint32(1 + deltas)})
	object := func(kind plumbing.ObjectType, offset int, data []byte) {
		head := byte(kind)<<4 | byte(len(data)&15)
		for rest := len(data) >> 4; ; rest >>= 7 {
			if rest == 0 {
				pack.WriteByte(head)
				break
			}
			pack.WriteByte(head | 0x80)
			head = byte(rest & 0x7f)
		}
		if kind == plumbing.OFSDeltaObject {
			back := []byte{byte(offset & 0x7f)}
			for offset >>= 7; offset > 0; offset >>= 7 {
				offset--
				back = append([]byte{0x80 | byte(offset&0x7f)}, back...)
			}
			pack.Write(back)
		}
		deflate.Reset(&pack)
		_, err := deflate.Write(data)
		if err = errors.Join(err, deflate.Close()); err != nil {
			t.Fatal(err)
		}
	}
	at := pack.Len()
	object(plumbing.BlobObject, 0, make([]byte, size))
	for range deltas {
		delta := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(size)), uint64(size))
		delta = append(delta, 0xf0, byte(size), byte(size>>8), byte(size>>16)) // copy it all
		next := pack.Len()
		object(plumbing.OFSDeltaObject, next-at, delta)
		if chained {
			at = next
		}
	}
	sum := sha1.Sum(pack.Bytes())
	return append(pack.Bytes(), sum[:]...)
}

func TestPacksAreBoundedByAllThatTheyUnpackTo(t *testing.T) {
	t.Parallel()
	limits := Limits{Inflated: 8 << 20}.withDefaults()
	for name, tc := range map[string]struct {
		pack    []byte
		refused bool
	}{
		"as much as there may be": {bomb(t, 1<<20, 7, false), false},
		"more":                    {bomb(t, 1<<20, 8, false), true},
		"more in a chain":         {bomb(t, 1<<20, 8, true), true},
		"far more":                {bomb(t, 1<<20, 2000, true), true},
	} {
		m := testMirror(t)
		err := m.receive(t.Context(), bytes.NewReader(tc.pack), limits)
		var large *source.TooLargeError
		if (err != nil) != tc.refused || tc.refused && !errors.As(err, &large) {
			t.Errorf("%s, in %d bytes: error %v", name, len(tc.pack), err)
		}
		if left, _ := filepath.Glob(filepath.Join(m.dir, "received-*")); len(left) > 0 {
			t.Errorf("%s: left behind: %v", name, left)
		}
	}
}

// What a pack costs is decided by whoever made it: the timeout, and the hub's end, have to reach in.
func TestUnpackingEndsWithItsContext(t *testing.T) {
	t.Parallel()
	pack := bomb(t, 64<<10, 500, false)
	file := filepath.Join(t.TempDir(), "pack")
	if err := os.WriteFile(file, pack, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, read := range map[string]func(context.Context, *os.File) error{
		"what checks it":  func(ctx context.Context, f *os.File) error { return checkPack(ctx, f, Limits{}.withDefaults()) },
		"what indexes it": testMirror(t).add,
	} {
		opened, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer opened.Close()
		soon := &countdown{Context: t.Context()}
		soon.left.Store(3)
		if err := read(soon, opened); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: error %v, want that it was called off", name, err)
		}
	}
}

// countdown is a context that ends when it has been looked at some times.
type countdown struct {
	context.Context
	left atomic.Int64
}

func (c *countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func testMirror(t *testing.T) *mirror {
	t.Helper()
	m, err := openStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m
}
