package decrypt

import (
	"context"
	"errors"
	"fmt"
)

// MaxSize is that of a document, encrypted or not.
const MaxSize = 5 << 20

// convert decrypts a document of one format and prints it in another.
func (k *Keys) convert(ctx context.Context, data []byte, in, out Format) ([]byte, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%w: it has %d bytes; %d are allowed", ErrTooLarge, len(data), MaxSize)
	}
	trees, fields, err := read(in, data)
	var m metadata
	if err == nil {
		m, err = metadataOf(fields)
	}
	switch {
	case errors.Is(err, ErrTooLarge):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrNotSOPS, err)
	}
	key, err := k.dataKey(ctx, m)
	if err != nil {
		return nil, err
	}
	open, err := newCipher(key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	w := walker{rule: m.rule, open: open}
	for _, tree := range trees {
		if err := w.mapping(tree, nil, nil); err != nil {
			return nil, err
		}
	}
	plain, err := write(out, trees)
	if err != nil {
		return nil, fmt.Errorf("%w: %s decrypted as %s: %w", ErrNotSOPS, in, out, err)
	}
	if len(plain) > MaxSize {
		return nil, fmt.Errorf("%w: decrypted it has %d bytes; %d are allowed", ErrTooLarge, len(plain), MaxSize)
	}
	return plain, nil
}
