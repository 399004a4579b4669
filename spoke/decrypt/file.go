package decrypt

import (
	"context"
	"fmt"
)

// File decrypts a file that a build reads, of the given format, which is also that of the answer; what SOPS has not
// encrypted comes back as it is. An error names the file and wraps one of those of this package.
func (k *Keys) File(ctx context.Context, name string, format Format, data []byte) ([]byte, error) {
	if !format.Marked(data) {
		return data, nil
	}
	plain, err := k.convert(ctx, data, format, format)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return plain, nil
}
