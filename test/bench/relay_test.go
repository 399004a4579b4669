package main

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
)

// message is one as a client of Postgres sends it; of the first there is no letter.
func message(letter, body string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte(letter), uint32(len(body)+4)), body...)
}

// What is in a message counts for nothing, and they may come in any pieces.
func TestRoundTripsAreCountedInWhateverPiecesTheyCome(t *testing.T) {
	t.Parallel()
	var sent []byte
	for _, m := range [][]byte{
		message("", "user\x00flotilla\x00"), message("Q", "SELECT 'S'"), message("P", "INSERT Q S"), message("B", "SSSS"), message("E", ""), message("S", ""),
		message("B", ""), message("S", ""), message("X", ""),
	} {
		sent = append(sent, m...)
	}
	for size := 1; size <= len(sent); size++ {
		var count atomic.Int64
		f := &frames{count: &count}
		for rest := sent; len(rest) > 0; {
			n := min(size, len(rest))
			if written, err := f.Write(rest[:n]); written != n || err != nil {
				t.Fatalf("wrote %d of %d, error %v", written, n, err)
			}
			rest = rest[n:]
		}
		if count.Load() != 3 {
			t.Errorf("in pieces of %d there are %d round trips", size, count.Load())
		}
	}
}

func TestARelayIsAtAnotherAddressOfTheSameDatabase(t *testing.T) {
	t.Parallel()
	got, err := relayed("postgres://flotilla:secret@127.0.0.1:5432/flotilla?sslmode=disable", "127.0.0.1:1")
	if want := "postgres://flotilla:secret@127.0.0.1:1/flotilla?sslmode=disable"; got != want || err != nil {
		t.Errorf("it is at %s, error %v", got, err)
	}
}
