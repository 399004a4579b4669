package helm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"flotilla.dev/flotilla/pkg/fleet"
)

// maxInflated bounds what a Secret of Helm may come to: 1 MiB of one can be packed a thousandfold.
const maxInflated = 32 << 20

// field takes a field of an object from the decoder, or says that it did not.
type field func(name string, from *json.Decoder) (taken bool, err error)

// eachField reads what Helm has stored: base64, in which there may be gzip, in which there is JSON.
func eachField(stored []byte, take field) error {
	packed := bufio.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(stored)))
	var plain io.Reader = packed
	if magic, _ := packed.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		inflated, err := gzip.NewReader(packed)
		if err != nil {
			return errForeignVersion
		}
		plain = inflated
	}
	bounded := &io.LimitedReader{R: plain, N: maxInflated}
	switch err := fieldsOf(json.NewDecoder(bounded), take); {
	case err != nil && bounded.N <= 0:
		return fmt.Errorf("%w: it has more than %d MiB", fleet.ErrInvalid, maxInflated>>20)
	case err != nil:
		return errForeignVersion // the decoder's words may quote it
	}
	return nil
}

var errForeignVersion = fmt.Errorf("%w: it is not as Helm packs it", fleet.ErrInvalid)

// fieldsOf reads an object field by field. What nobody takes is passed over without being held.
func fieldsOf(from *json.Decoder, take field) error {
	if opening, err := from.Token(); err != nil || opening != json.Delim('{') {
		return errors.Join(err, errForeignVersion)
	}
	for from.More() {
		name, err := from.Token()
		if err != nil {
			return err
		}
		text, _ := name.(string) // the decoder lets no other be a name
		taken, err := take(text, from)
		if err == nil && !taken {
			err = passOver(from)
		}
		if err != nil {
			return err
		}
	}
	_, err := from.Token()
	return err
}

// passOver skips a value.
func passOver(from *json.Decoder) error {
	for depth := 0; ; {
		token, err := from.Token()
		if err != nil {
			return err
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}
